// The four endpoints of a blue-green application on plain Node: no framework, no packages.
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const { env } = process;
const slot = env.DEPLOYMENT_SLOT ?? 'blue';
const version = env.APP_VERSION ?? '0.0.0';
const deployed = env.DEPLOYMENT_TIMESTAMP ?? new Date().toISOString();
const release = env.DEPLOYMENT_RELEASE ?? '';
const started = process.hrtime.bigint();
const lag = monitorEventLoopDelay({ resolution: 10 });
lag.enable();

let draining = false;
let inFlight = 0;

const uptime = () => Number(process.hrtime.bigint() - started) / 1e9;
const oneLine = (value) => String(value).replace(/[\t\r\n]/g, ' ');

// One write per line, so that lines of concurrent writers never mix. Only measured requests, whose id ends in a dash and
// a number (and ~1, ~2, ... where they follow from another one): everyday ones would make the file grow for ever.
function note(event, request, status = '') {
  const id = request.headers['x-request-id'] ?? '-';
  if (!env.REQUEST_LOG || !/^-$|-[0-9]+(~[0-9]+)?$/.test(id)) return;
  const at = process.hrtime.bigint() / 1000n;
  const fields = [event, at, id, slot, version, request.method, request.url, status];
  try {
    appendFileSync(env.REQUEST_LOG, `${fields.map(oneLine).join('\t')}\n`);
  } catch {
    // A full disk costs lines of this log, never an answer.
  }
}

function check(name, healthy, message) {
  return { name, status: healthy ? 'healthy' : 'unhealthy', message };
}

function memoryCheck() {
  const { rss } = process.memoryUsage();
  const limit = process.constrainedMemory?.() ?? 0;
  // Node reports an absurdly large number where no limit is set.
  const limited = limit > 0 && limit < 2 ** 50;
  return check('memory', !limited || rss < 0.9 * limit, `${Math.round(rss / 2 ** 20)} MB resident`);
}

function eventLoopCheck() {
  const milliseconds = lag.percentile(99) / 1e6;
  lag.reset();
  return check('event_loop', !(milliseconds > 1000), `p99 lag ${milliseconds.toFixed(1)} ms`);
}

function healthReport(checks) {
  const isHealthy = checks.every((one) => one.status === 'healthy');
  const memory = process.memoryUsage();
  const cpu = process.cpuUsage();
  return {
    status: isHealthy ? 'healthy' : 'unhealthy',
    timestamp: new Date().toISOString(),
    uptime: uptime(),
    version,
    deployment: { slot, timestamp: deployed },
    checks,
    system: {
      memory: { rss_bytes: memory.rss, heap_used_bytes: memory.heapUsed },
      cpu: { user_seconds: cpu.user / 1e6, system_seconds: cpu.system / 1e6 },
    },
  };
}

function deploymentReport() {
  const health = healthReport([memoryCheck()]);
  return {
    // "inactive": only the proxy knows which slot users reach, and it says so in its own header.
    deployment: { slot, timestamp: deployed, version, status: draining ? 'inactive' : 'active', release },
    application: { name: 'node-app', runtime: `node ${process.version}`, in_flight: inFlight - 1, draining },
    health: { status: health.status },
    system: health.system,
  };
}

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function send(response, status, type, body) {
  const content = Buffer.isBuffer(body) ? body : Buffer.from(body);
  // A proxy's pooled connection is given up together with this answer, so no request meets a closing socket.
  if (draining) response.setHeader('Connection', 'close');
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': content.length });
  response.end(response.req.method === 'HEAD' ? undefined : content);
}

function sendReport(response, report) {
  response.setHeader('Cache-Control', 'no-store');
  send(response, report.status === 'unhealthy' ? 503 : 200, 'application/json', JSON.stringify(report));
}

const reads = {
  '/': (response) => send(response, 200, 'text/plain; charset=utf-8', `Served by ${slot}, version ${version}.\n`),
  '/api/health': (response) => sendReport(response, healthReport([memoryCheck(), eventLoopCheck()])),
  '/api/health/live': (response) => sendReport(response, healthReport([check('process', true, 'answering')])),
  '/api/health/ready': (response) =>
    sendReport(response, healthReport([memoryCheck(), check('accepting', !draining, draining ? 'draining' : 'ready')])),
  '/api/deployment/status': (response) => sendReport(response, deploymentReport()),
};

async function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://slot');
  if (request.method === 'POST' && pathname === '/api/echo') {
    const type = request.headers['content-type'] ?? 'application/octet-stream';
    send(response, 200, type, await bodyOf(request));
  } else if (pathname in reads && (request.method === 'GET' || request.method === 'HEAD')) {
    reads[pathname](response);
  } else {
    const known = pathname in reads || pathname === '/api/echo';
    send(response, known ? 405 : 404, 'application/json', JSON.stringify({ error: known ? 'method not allowed' : 'not found' }));
  }
}

const server = createServer((request, response) => {
  inFlight += 1;
  note('begin', request);
  response.setHeader('X-Deployment-Slot', slot);
  response.setHeader('X-Deployment-Version', version);
  response.on('close', () => {
    inFlight -= 1;
    if (response.writableFinished) note('end', request, response.statusCode);
  });
  answer(request, response).catch((error) => {
    console.error(error);
    if (response.headersSent) response.destroy();
    else send(response, 500, 'application/json', JSON.stringify({ error: 'internal error' }));
  });
});
// Longer than a proxy keeps an idle connection to us.
server.keepAliveTimeout = 75_000;

// First a grace in which every answer says `Connection: close`, so that a proxy's pool empties itself; then nothing new is
// taken and the process ends with the last answer, at the latest after DRAIN_SECONDS.
function drain() {
  if (draining) return;
  draining = true;
  setTimeout(() => server.close(() => process.exit(0)), Number(env.DRAIN_IDLE_SECONDS ?? 0.5) * 1000);
  setTimeout(() => {
    console.error(`drained too slowly: ${inFlight} requests cut`);
    process.exit(1);
  }, Number(env.DRAIN_SECONDS ?? 25) * 1000);
}
process.on('SIGTERM', drain);
process.on('SIGINT', drain);

server.listen(Number(env.PORT ?? 3000), env.HOST ?? '127.0.0.1', () => {
  console.log(`node-app ${version} (${slot}) listens on ${env.HOST}:${env.PORT}`);
});
