// A worker that runs the lines for an app from the README of the refresh example.
//
// It is a worker so that it can be ended: those lines connect again for as long as they live. Each
// datafile that the app takes is posted to the test.

import { parentPort, workerData } from "node:worker_threads";

const { lines, datafileUrl, socketUrl } = workerData;

// What the README says for a Node without a WebSocket of its own.
globalThis.WebSocket ??= (await import("ws")).WebSocket;
globalThis.DATAFILE_URL = datafileUrl;
globalThis.SOCKET_URL = socketUrl;
globalThis.useDatafile = (datafile) => parentPort.postMessage(datafile);

await import(`data:text/javascript,${encodeURIComponent(lines)}`);
