// The tus server that Livepeer Studio runs: @tus/server on @tus/s3-store, with Studio's part size and
// object names, without Studio's API in front of it.
//
//   node server.mjs --modules DIR --s3 URL --bucket NAME
//
// It listens on a free port of 127.0.0.1, prints it as one line of JSON, and ends when its stdin
// does: it can't outlive its parent process. Parts are buffered in $TMPDIR.
import {createServer} from 'node:http'
import {join} from 'node:path'
import {pathToFileURL} from 'node:url'
import {parseArgs} from 'node:util'

const PATH = '/upload/tus'
const PART_SIZE = 8 * 1024 * 1024

const {values} = parseArgs({
  options: {modules: {type: 'string'}, s3: {type: 'string'}, bucket: {type: 'string'}},
})
if (!values.modules || !values.s3 || !values.bucket) {
  throw new Error('wanted --modules DIR --s3 URL --bucket NAME')
}

const load = (file) => import(pathToFileURL(join(values.modules, file)).href)
const {Server} = await load('@tus/server/dist/index.js')
const {S3Store} = await load('@tus/s3-store/dist/index.js')

const tus = new Server({
  path: PATH,
  respectForwardedHeaders: true,
  namingFunction: (request) =>
    `directUpload/${new URL(request.url, 'http://peer').searchParams.get('token')}`,
  datastore: new S3Store({
    partSize: PART_SIZE,
    s3ClientConfig: {
      bucket: values.bucket,
      endpoint: values.s3,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: {accessKeyId: 'made', secretAccessKey: 'up'},
    },
  }),
})
const http = createServer((request, response) => tus.handle(request, response))

// An aborted request is part of the tests: the store rejects a promise that is not awaited.
process.on('unhandledRejection', (error) => console.error(error))
process.stdin.on('end', () => process.exit(0)).resume()
http.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({port: http.address().port, path: PATH}))
})
