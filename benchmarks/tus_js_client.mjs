// Uploads copies of one file with tus-js-client: ask Livepeer for an upload, then send everything
// with the creation, which is as few round trips as it can do.
//
//     node tus_js_client.mjs URL KEY FILE COUNT CONCURRENCY
//
// Prints the seconds from the first request to the last success.
import { readFile } from 'node:fs/promises'
import { Upload } from 'tus-js-client'

const [url, key, file, count, concurrency] = process.argv.slice(2)
const content = await readFile(file)

async function requestUpload(name) {
  const answer = await fetch(`${url}/asset/request-upload`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name }),
  })
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  return (await answer.json()).tusEndpoint
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

let begun = 0
async function work() {
  while (begun < Number(count)) {
    const number = begun++
    await send(await requestUpload(`${number}.mp4`))
  }
}

const started = performance.now()
await Promise.all(Array.from({ length: Number(concurrency) }, work))
console.log((performance.now() - started) / 1000)
