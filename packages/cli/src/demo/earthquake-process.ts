import { serveEarthquakes } from './earthquake-server.ts'
import { readEarthquakes } from './real-data.ts'

const [codeDir = '.', port = '0'] = process.argv.slice(2)
const server = await serveEarthquakes(await readEarthquakes(codeDir), Number(port))
process.on('SIGTERM', () => void server.stop().then(() => process.exit(0)))
