// @tus/server, configured like Livepeer Studio's: the token in the query of the creation becomes the
// upload's ID, a creation without a token is 401, other requests need none.
//
//   node server.mjs --modules DIR --version 1.0.0|2.x --directory DIR [--max-size BYTES]
//
// It listens on a free port of 127.0.0.1, prints it as one line of JSON, and ends when its stdin
// does: it can't outlive its parent process.
import {createServer} from 'node:http'
import {join} from 'node:path'
import {pathToFileURL} from 'node:url'
import {parseArgs} from 'node:util'

const PATH = '/files'

// Both versions are in one node_modules folder. 1.0.0 has the plain names, because its store imports
// its server by name; 2.x has aliases.
const PAIRS = {
  '1.0.0': {server: '@tus/server/dist/index.js', store: '@tus/file-store/dist/index.js'},
  '2.x': {server: 'tus-server-2/dist/index.js', store: 'tus-file-store-2/dist/index.js'},
}

const {values} = parseArgs({
  options: {
    modules: {type: 'string'},
    version: {type: 'string'},
    directory: {type: 'string'},
    'max-size': {type: 'string'},
  },
})
const pair = PAIRS[values.version]
if (pair === undefined || !values.modules || !values.directory) {
  throw new Error('wanted --modules DIR --version 1.0.0|2.x --directory DIR [--max-size BYTES]')
}
if (values['max-size'] !== undefined && values.version === '1.0.0') {
  throw new Error('@tus/server 1.0.0 has no size limit; use --version 2.x')
}

const load = (file) => import(pathToFileURL(join(values.modules, file)).href)
const {Server} = await load(pair.server)
const {FileStore} = await load(pair.store)

// The `url` of a request is a path in 1.0.0, and absolute in 2.x.
const tokenOf = (url) => new URL(url, 'http://peer').searchParams.get('token')

const tus = new Server({
  path: PATH,
  datastore: new FileStore({directory: values.directory}),
  namingFunction: (request) => tokenOf(request.url),
  maxSize: values['max-size'] === undefined ? undefined : Number(values['max-size']),
})

const http = createServer((request, response) => {
  const creates = request.method === 'POST' && request.url.split('?')[0] === PATH
  if (creates && !tokenOf(request.url)) {
    const body = JSON.stringify({errors: ['Missing uploadToken metadata from /request-upload API']})
    response.writeHead(401, {'Content-Type': 'application/json', 'Content-Length': body.length})
    response.end(body)
    return
  }
  tus.handle(request, response)
})

// An aborted request is part of the tests: in 2.x it rejects the promise of `handle`.
process.on('unhandledRejection', (error) => console.error(error))
process.stdin.on('end', () => process.exit(0)).resume()
http.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({port: http.address().port, path: PATH}))
})
