// The tus server as Livepeer Studio runs it: @tus/server on @tus/s3-store, with Studio's part size
// and its names of objects. What Studio's API adds in front of it is no matter of the bytes.
//
//   node server.mjs --modules DIR --s3 URL --bucket NAME
//
// It listens on a free port of 127.0.0.1, says so in one line of JSON on stdout, and ends when its
// stdin does, so that it can't outlive the process that started it, however that ends. The parts
// that wait for their upload lie in $TMPDIR.
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

// A request that the client breaks off is part of the tests, and no reason to end: the store lets
// such an error out as a promise that nobody awaits.
process.on('unhandledRejection', (error) => console.error(error))
process.stdin.on('end', () => process.exit(0)).resume()
http.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({port: http.address().port, path: PATH}))
})
