// A webhook receiver that verifies each request as a receiver of Standard Webhooks does: v1 with the reference library, v1a, which
// the library does not know, with Node's crypto.
//   node receiver.js PORT
// POST /trust has a secret (whsec_…) or a public key (whpk_…) as its body, and adds it. POST / is answered 204 where one of them
// verifies it, and else 401. GET /stats: received, failed, unsigned, most_signatures, and how many requests each of them has
// verified, in the order in which they were added.
'use strict';
const crypto = require('crypto');
const http = require('http');
const {Webhook} = require('standardwebhooks');

const SPKI_OF_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
const trusted = [];
const counts = {received: 0, failed: 0, unsigned: 0, most_signatures: 0, verified: []};

function byPublicKey(text) {
    const raw = Buffer.from(text.slice('whpk_'.length), 'base64');
    const key = crypto.createPublicKey({key: Buffer.concat([SPKI_OF_ED25519, raw]), format: 'der', type: 'spki'});
    return (body, headers) => {
        const content = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
        return headers['webhook-signature'].split(' ').some((each) => {
            const [version, signature] = each.split(',');
            return version === 'v1a' && crypto.verify(null, content, key, Buffer.from(signature, 'base64'));
        });
    };
}

function bySecret(text) {
    const webhook = new Webhook(text);
    return (body, headers) => {
        try {
            webhook.verify(body, headers);
            return true;
        } catch (error) {
            return false;
        }
    };
}

function receive(body, headers) {
    counts.received += 1;
    if (headers['webhook-signature'] === undefined) {
        counts.unsigned += 1;
        return 401;
    }
    counts.most_signatures = Math.max(counts.most_signatures, headers['webhook-signature'].split(' ').length);
    let verified = false;
    trusted.forEach((verify, i) => {
        if (!verify(body, headers)) return;
        counts.verified[i] += 1;
        verified = true;
    });
    if (!verified) counts.failed += 1;
    return verified ? 204 : 401;
}

http.createServer((request, response) => {
        const parts = [];
        request.on('data', (part) => parts.push(part)).on('end', () => {
            const body = Buffer.concat(parts).toString();
            if (request.url === '/stats') {
                response.setHeader('content-type', 'application/json');
                response.end(JSON.stringify(counts));
            } else if (request.url === '/trust') {
                trusted.push(body.startsWith('whpk_') ? byPublicKey(body) : bySecret(body));
                counts.verified.push(0);
                response.writeHead(204).end();
            } else {
                response.writeHead(receive(body, request.headers)).end();
            }
        });
    })
    .listen(Number(process.argv[2]), '127.0.0.1');
