// Uploads with tus-js-client.
//
//     node tus_js_client.mjs MODULES large TUS_ENDPOINT FILE
//     node tus_js_client.mjs MODULES small BASE_URL FILE COUNT CONCURRENCY
//
// MODULES is the folder of the installed packages. `large` streams a file in one PATCH. `small`
// uploads copies: it requests an upload for each, then sends all bytes with the creation, which needs
// the fewest round trips. Prints the seconds from the first request to the last success.
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [modules, mode, url, file, count, concurrency] = process.argv.slice(2)
const { Upload } = createRequire(join(modules, 'x.js'))('tus-js-client')

function send(content, endpoint, options) {
  return new Promise((resolve, reject) => {
    new Upload(content, { endpoint, onSuccess: resolve, onError: reject, ...options }).start()
  })
}

async function requestUpload(name) {
  const response = await fetch(`${url}/asset/request-upload`, {
    method: 'POST',
    headers: { authorization: 'Bearer key', 'content-type': 'application/json' },
    body: JSON.stringify({ name }),
  })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return (await response.json()).tusEndpoint
}

async function sendSmall() {
  const content = await readFile(file)
  let started = 0
  async function work() {
    while (started < Number(count)) {
      const number = started++
      const endpoint = await requestUpload(`${number}.mp4`)
      await send(content, endpoint, { uploadDataDuringCreation: true })
    }
  }
  await Promise.all(Array.from({ length: Number(concurrency) }, work))
}

const startTime = performance.now()
await (mode === 'small' ? sendSmall() : send(createReadStream(file), url, {}))
console.log(JSON.stringify({ seconds: (performance.now() - startTime) / 1000 }))
