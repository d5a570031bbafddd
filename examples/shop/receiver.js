// What a customer of the shop runs: it verifies each request with the library of Standard Webhooks, and takes each event once.
//   SECRET=whsec_… PORT=9101 node receiver.js
const { createServer } = require("node:http");
const { Webhook } = require("standardwebhooks");

const webhook = new Webhook(process.env.SECRET);
const seen = new Set(); // in production: a table with a unique key

function receive(body, headers) {
  let event;
  try {
    event = webhook.verify(body, headers);
  } catch (error) {
    console.log("refused:", error.message);
    return 401;
  }
  const id = headers["webhook-id"];
  if (!seen.has(id)) {
    seen.add(id);
    console.log(event.type, JSON.stringify(event.data));
  }
  return 204;
}

createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => response.writeHead(receive(Buffer.concat(parts).toString(), request.headers)).end());
}).listen(process.env.PORT, "127.0.0.1");
