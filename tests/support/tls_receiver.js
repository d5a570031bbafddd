// A webhook receiver over TLS, by Node.js: offers HTTP/2 and HTTP/1.1, or HTTP/1.1 alone. The same server answers both.
//   node tls_receiver.js PORT CONTROL_PORT KEY CERTIFICATE h2|http/1.1
// Its answers say the protocol ("2.0" or "1.1") and the connection, counted from 1. POST /hang is never answered, POST /cut ends
// its connection, POST /away is answered and says goodbye to its connection, POST /ping is answered and followed by a ping of HTTP/2,
// POST /stray/MS is refused and followed by a 200 that nobody asked for. CONTROL_PORT, without TLS: GET /stats, POST /reset,
// as `messaging receiver` has them, and the connections.
'use strict';
const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const tls = require('tls');

const [port, controlPort, key, certificate, offered] = process.argv.slice(2);
const counts = {
    connections: 0
};

function reset() { Object.assign(counts, {received: 0, ids: new Set(), first: null, last: null, versions: {}, used: new Set()}); }
reset();

function answer(request, response) {
    const carrier = request.stream ? request.stream.session : request.socket;
    if (!carrier || carrier.destroyed) return;
    if (request.url === '/hang') return;
    if (request.url === '/cut') {
        carrier.destroy(new Error('cut'));
        return;
    }
    if (request.url.startsWith('/stray/')) {
        response.writeHead(500, {'content-length': 0});
        response.end();
        const more = () => carrier.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}');
        const delay = Number(request.url.slice('/stray/'.length));
        if (delay) {
            setTimeout(more, delay);
        } else {
            more();
        }
        return;
    }
    if (request.url === '/ping') setTimeout(() => carrier.ping(() => {}), 20);
    counts.last = new Date().toISOString();
    counts.first = counts.first || counts.last;
    counts.received += 1;
    counts.ids.add(request.headers['webhook-id']);
    counts.versions[request.httpVersion] = (counts.versions[request.httpVersion] || 0) + 1;
    counts.used.add(carrier.number);
    response.writeHead(202, {'content-type': 'application/json'});
    response.end(JSON.stringify({messageId: `${request.httpVersion} ${carrier.number}`}));
    if (request.url === '/away' && request.stream) carrier.close();
}

const server = http2.createSecureServer({
    key: fs.readFileSync(key),
    cert: fs.readFileSync(certificate),
    allowHTTP1: true,
});
if (offered !== 'h2') tls.convertALPNProtocols([offered], server);  // http2 takes no such option
server.prependListener('secureConnection', (socket) => {
    counts.connections += 1;
    socket.number = counts.connections;
});
server.on('session', (session) => {
    session.on('error', () => {});        // what became of it is the sender's to tell
    session.number = counts.connections;  // made while its connection's event is handled
});
server.on('sessionError', () => {});
server.on('request', (request, response) => {
    request.on('error', () => {});
    request.on('end', () => answer(request, response));
    request.resume();
});
server.listen(Number(port), '127.0.0.1');

http.createServer((request, response) => {
        if (request.method === 'POST' && request.url === '/reset') reset();
        response.setHeader('content-type', 'application/json');
        response.end(
            JSON.stringify({
                received: counts.received,
                distinct: counts.ids.size,
                duplicates: counts.received - counts.ids.size,
                first_at: counts.first,
                last_at: counts.last,
                versions: counts.versions,
                connections: counts.connections,
                connections_used: counts.used.size,
            }),
        );
    })
    .listen(Number(controlPort), '127.0.0.1');
