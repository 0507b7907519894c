// @tus/server with its file store, as its documentation sets it up: node tus_server.mjs FOLDER PORT
import { createServer } from "node:http"
import { FileStore } from "@tus/file-store"
import { Server } from "@tus/server"

const [directory, port] = process.argv.slice(2)
const tus = new Server({ path: "/files", datastore: new FileStore({ directory }) })

createServer((request, response) => {
  if (request.url === "/ping") response.end("alive")
  else tus.handle(request, response)
}).listen({ host: "127.0.0.1", port: Number(port) })
