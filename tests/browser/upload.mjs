/** Uploads a file with tus-js-client in Node.js: node upload.mjs FOLDER FILE OPTIONS */
import { createReadStream } from 'node:fs'
import { createRequire } from 'node:module'

const [folder, file, text] = process.argv.slice(2)
const tus = createRequire(`${folder}/`)('tus-js-client')
const options = JSON.parse(text)

new tus.Upload(createReadStream(file), {
  ...options,
  onError(error) {
    console.error(error.message)
    process.exit(1)
  },
  onSuccess: () => process.exit(0),
}).start()
