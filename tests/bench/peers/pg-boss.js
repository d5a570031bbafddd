// pg-boss.js setup|work DATABASE_URL [WEBHOOK_URL]: full batches fetched without a pause, their jobs at once, notifications.
import { PgBoss } from 'pg-boss';
import { deliver } from './deliver.js';

const [mode, connectionString, url] = process.argv.slice(2);
const boss = new PgBoss({ connectionString, max: 10, useListenNotify: true, supervise: false, schedule: false });
boss.on('error', console.error);
await boss.start();
if (mode === 'setup') {
  await boss.createQueue('deliver', { notify: true });
  await boss.stop();
} else {
  const options = { batchSize: 500, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true };
  for (let worker = 0; worker < 2; ++worker) {  // one sends while the other completes and fetches
    await boss.work('deliver', options, (jobs) => Promise.all(jobs.map((job) => deliver(url, job.id, job.data))));
  }
  process.on('SIGTERM', async () => {
    await boss.stop({ graceful: true, timeout: 10000 });
    process.exit(0);
  });
  console.log('ready');
}
