// SPDX-License-Identifier: BSD-2-Clause
// Two servers as anyone would write them: http and ws, on one port, for both families and for IPv4 alone.
'use strict';
const http = require('http');
const { WebSocketServer } = require('../node_modules/ws');

function serve(port, host, then) {
	const server = http.createServer((request, response) => {
		response.end(`${request.socket.remoteAddress} ${request.socket.remotePort}\n`);
	});
	const sockets = new WebSocketServer({ server });
	sockets.on('connection', (socket, request) => {
		const { remoteAddress, remotePort } = request.socket;
		socket.send(`${remoteAddress} ${remotePort}\n`, () => socket._socket.end());
	});
	server.listen(port, host, then);
}

serve(3000, '::', () => serve(3001, '0.0.0.0', () => console.log('ready')));
