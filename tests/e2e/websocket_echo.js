// SPDX-License-Identifier: BSD-2-Clause
// The same server and client on npm's ws.
// websocket_echo.js serve PORT | websocket_echo.js talk URI SOURCE COUNT SIZE
'use strict';
const crypto = require('crypto');
const { WebSocket, WebSocketServer } = require('../node_modules/ws');

function serve(port) {
	const server = new WebSocketServer({ host: '127.0.0.1', port });
	server.on('listening', () => console.log('ready'));
	server.on('connection', (socket) => {
		socket.on('error', () => {});
		socket.on('message', (data, binary) => socket.send(data, { binary }));
	});
}

function talk(uri, source, count, size) {
	const socket = new WebSocket(uri, { localAddress: source, maxPayload: 0, perMessageDeflate: false });
	const big = crypto.randomBytes(size);
	let n = 0;
	socket.on('open', () => socket.send('message 0'));
	socket.on('message', (data, binary) => {
		if (!binary) {
			if (data.toString() !== `message ${n}`) throw new Error('another message came back');
			n += 1;
			socket.send(n < count ? `message ${n}` : big);
			return;
		}
		if (!data.equals(big)) throw new Error('the big message came back changed');
		socket.close();
	});
	socket.on('close', (code) => {
		if (n !== count || code !== 1005) throw new Error(`closed with ${code} after ${n}`);
		console.log('ok');
	});
}

const [role, where, source, count, size] = process.argv.slice(2);
if (role === 'serve') serve(Number(where));
else talk(where, source, Number(count), Number(size));
