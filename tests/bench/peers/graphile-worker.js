// graphile-worker.js setup|work DATABASE_URL [WEBHOOK_URL]: batches on both sides, 64 jobs at once, notifications.
import { run, runMigrations } from 'graphile-worker';
import { deliver } from './deliver.js';

const [mode, connectionString, url] = process.argv.slice(2);
const preset = {
  worker: {
    connectionString,
    concurrentJobs: 64,
    maxPoolSize: 10,
    pollInterval: 1000,
    localQueue: { size: 500, refetchDelay: { durationMs: 0, threshold: 0 } },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};
if (mode === 'setup') {
  await runMigrations({ preset });
} else {
  const runner = await run({
    preset,
    taskList: { deliver: (payload, { job }) => deliver(url, job.id, payload) },
    noHandleSignals: true,
  });
  process.on('SIGTERM', async () => {
    await runner.stop();
    process.exit(0);
  });
  console.log('ready');
}
