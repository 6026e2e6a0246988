// Uploads copies of one file with tus-js-client: requests an upload, then sends all bytes with the
// creation, which needs the fewest round trips.
//
//     node tus_js_client.mjs URL KEY FILE COUNT CONCURRENCY
//
// Prints the seconds from the first request to the last success.
import { readFile } from 'node:fs/promises'
import { Upload } from 'tus-js-client'

const [url, key, file, count, concurrency] = process.argv.slice(2)
const content = await readFile(file)

async function requestUpload(name) {
  const response = await fetch(`${url}/asset/request-upload`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name }),
  })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return (await response.json()).tusEndpoint
}

function send(endpoint) {
  return new Promise((resolve, reject) => {
    new Upload(content, {
      endpoint,
      uploadDataDuringCreation: true,
      onSuccess: resolve,
      onError: reject,
    }).start()
  })
}

let started = 0
async function work() {
  while (started < Number(count)) {
    const number = started++
    await send(await requestUpload(`${number}.mp4`))
  }
}

const startTime = performance.now()
await Promise.all(Array.from({ length: Number(concurrency) }, work))
console.log((performance.now() - startTime) / 1000)
