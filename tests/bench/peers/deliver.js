// What both peers do with a job: the same POST as ours, over kept connections.
import { Agent, request } from 'undici';

const agent = new Agent({ connections: 64, pipelining: 1 });

export async function deliver(url, id, message) {
  const answer = await request(url, {
    dispatcher: agent,
    method: 'POST',
    headers: { 'content-type': 'application/json', 'webhook-id': `msg_${id}`, 'webhook-timestamp': String(Math.floor(Date.now() / 1000)) },
    body: JSON.stringify({ to: message.to, content: message.content }),
  });
  await answer.body.json();
  if (answer.statusCode < 200 || answer.statusCode > 299) throw new Error(`HTTP ${answer.statusCode}`);
}
