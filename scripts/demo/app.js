// SPDX-License-Identifier: BSD-2-Clause
// A WebSocket app as anybody writes it: logs who comes, greets, echoes. It has never heard of PROXY.
const { WebSocketServer } = require('ws');

const port = Number(process.argv[2]);
const server = new WebSocketServer({ port, host: '0.0.0.0', maxPayload: 64 << 20 }, () => console.log('listening'));

server.on('connection', (socket, request) => {
	console.log(`client ${request.socket.remoteAddress}:${request.socket.remotePort}`);
	socket.send('welcome');
	socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
