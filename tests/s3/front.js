// SPDX-License-Identifier: BSD-3-Clause
// In front of s3rver, which does not compare signatures of version 4: does so by the letter of AWS's documents (also
// the hash of the body), and makes trouble when asked to. Arguments: modules folder, data folder, port, [trouble].
// trouble: every third request is answered with 503, and the first answer to each GET of more than 64 KiB is cut off.
'use strict';
const crypto = require('crypto');
const http = require('http');
const [modules, data, port, trouble] = process.argv.slice(2);
const S3rver = require(`${modules}/s3rver`);
const secret = 'S3RVER';
let requests = 0;
const cut = new Set();

const sha256 = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex');
const hmac = (key, text) => crypto.createHmac('sha256', key).update(text).digest();
const escape = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());

function canonicalQuery(query) {
	return query.split('&').filter(Boolean).map((p) => {
		const [name, ...value] = p.split('=');
		return `${escape(decodeURIComponent(name))}=${escape(decodeURIComponent(value.join('=')))}`;
	}).sort().join('&');
}

function signatureOk(req, body) {
	const m = /^AWS4-HMAC-SHA256 Credential=S3RVER\/(\d+)\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/
		.exec(req.headers.authorization || '');
	if (!m || req.headers['x-amz-content-sha256'] !== sha256(body))
		return false;
	const [, day, region, names, signature] = m;
	if (!names.split(';').includes('x-amz-content-sha256') || !names.split(';').includes('host'))
		return false;
	const [path, query = ''] = req.url.split('?');
	const headers = names.split(';').map((n) => `${n}:${String(req.headers[n]).trim()}\n`).join('');
	const request = [req.method, path, canonicalQuery(query), headers, names, sha256(body)].join('\n');
	const text = ['AWS4-HMAC-SHA256', req.headers['x-amz-date'], `${day}/${region}/s3/aws4_request`, sha256(request)].join('\n');
	const key = ['s3', 'aws4_request'].reduce(hmac, hmac(hmac('AWS4' + secret, day), region));
	return hmac(key, text).toString('hex') === signature;
}

function refuse(res, status, code) {
	res.writeHead(status, { 'Content-Type': 'application/xml' });
	res.end(`<?xml version="1.0"?><Error><Code>${code}</Code></Error>`);
}

function pass(req, body, res, inner) {
	const out = http.request({ port: inner, method: req.method, path: req.url, headers: req.headers }, (answer) => {
		res.writeHead(answer.statusCode, answer.headers);
		const length = Number(answer.headers['content-length']);
		if (trouble && req.method === 'GET' && length > 65536 && !cut.has(req.url)) {
			cut.add(req.url);
			let left = length / 2;
			answer.on('data', (d) => { res.write(d); left -= d.length; if (left < 0) setTimeout(() => req.socket.destroy(), 50); });
			return;
		}
		answer.pipe(res);
	});
	out.end(body);
}

(async () => {
	const server = new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory: data, configureBuckets: [{ name: 'lode' }] });
	const inner = (await server.run()).port;
	http.createServer((req, res) => {
		const parts = [];
		req.on('data', (d) => parts.push(d));
		req.on('error', () => {});
		req.on('end', () => {
			const body = Buffer.concat(parts);
			if (!signatureOk(req, body))
				refuse(res, 403, 'SignatureDoesNotMatch');
			else if (trouble && ++requests % 3 === 0)
				refuse(res, 503, 'SlowDown');
			else
				pass(req, body, res, inner);
		});
	}).listen(Number(port), '127.0.0.1');
})();
