// That every client gets a token by its own method only: what the end-to-end tests build on, without Envoy.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createPrivateKey, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:https';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';

import { decodeJwt, SignJWT } from 'jose';

const server = spawn(process.execPath, ['server.js'], {
  cwd: import.meta.dirname,
  stdio: ['pipe', 'pipe', 'ignore'],
});
const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
const { issuer, resource, clients, ...places } = JSON.parse((await lines.next()).value);
after(() => server.stdin.end());

async function command(command, more) {
  server.stdin.write(`${JSON.stringify({ command, ...more })}\n`);
  return JSON.parse((await lines.next()).value);
}

async function post(form, headers) {
  const body = new URLSearchParams({ grant_type: 'client_credentials', scope: 'orders:read', ...form });
  const answer = await fetch(places.token_endpoint, { method: 'POST', headers, body });
  return { status: answer.status, ...await answer.json() };
}

function basic(client, secret = clients[client].client_secret) {
  return { authorization: `Basic ${btoa(`${client}:${secret}`)}` };
}

async function assertion(client, claims) {
  const { kid, alg, key } = clients[client];
  const now = Math.floor(Date.now() / 1000);
  const client_assertion = await new SignJWT({
    iss: client, sub: client, aud: issuer, iat: now, exp: now + 60, jti: randomUUID(), ...claims,
  }).setProtectedHeader({ kid, alg }).sign(createPrivateKey(key));
  const client_assertion_type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
  return { client_assertion, client_assertion_type };
}

async function postOverTls(form, certificate) {
  const sent = request(places.tls_token_endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    ca: places.tls_authority,
    ...certificate,
  }).end(new URLSearchParams({ grant_type: 'client_credentials', scope: 'orders:read', ...form }).toString());
  const [answer] = await once(sent, 'response');
  return { status: answer.statusCode, ...JSON.parse((await answer.toArray()).join('')) };
}

function assertToken(answer, client) {
  assert.equal(answer.status, 200, JSON.stringify(answer));
  const { client_id, scope, aud } = decodeJwt(answer.access_token);
  assert.deepEqual([client_id, scope, aud], [client, 'orders:read', resource]);
}

function assertUnauthenticated(answer) {
  assert.deepEqual([answer.status, answer.error], [401, 'invalid_client']);
}

test('a secret authenticates as registered, for no more than the scopes', async () => {
  assertToken(await post({}, basic('orders-service')), 'orders-service');
  assertUnauthenticated(await post({}, basic('orders-service', 'wrong')));
  const client_id = 'post-service';
  assertToken(await post({ client_id, ...clients[client_id] }), client_id);
  assertUnauthenticated(await post({ client_id, client_secret: 'wrong' }));
  assertUnauthenticated(await post({}, basic(client_id)));
  assertUnauthenticated(await post({ client_id: 'orders-service', ...clients['orders-service'] }));
  assert.equal((await post({ scope: 'orders:admin' }, basic('orders-service'))).error, 'invalid_scope');
});

for (const client of Object.keys(clients).filter((client) => client.startsWith('jwt-'))) {
  test(`${client}: an assertion for this issuer authenticates, once`, async () => {
    const good = await assertion(client);
    assertToken(await post(good), client);
    assertUnauthenticated(await post(good));
    assertUnauthenticated(await post(await assertion(client, { aud: 'https://elsewhere.example' })));
  });
}

test('a certificate authenticates, none does not', async () => {
  const client_id = 'mtls-service';
  const { certificate: cert, key } = clients[client_id];
  assertToken(await postOverTls({ client_id }, { cert, key }), client_id);
  assertUnauthenticated(await postOverTls({ client_id }));
  assertUnauthenticated(await post({ client_id }));
});

test('the resource decides on lifetime, format and algorithm', async () => {
  const of = async (query) => post({ resource: `${resource}?${query}` }, basic('orders-service'));
  assert.equal((await of('ttl=7')).expires_in, 7);
  assert.ok(!(await of('format=opaque')).access_token.includes('.'));
  assert.match(atob((await of('alg=EdDSA')).access_token.split('.')[0]), /"EdDSA"/);
});

test('a live token is exchanged for one with its subject', async () => {
  const exchange = (subject_token) => post({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  }, basic('exchange-service'));
  for (const format of ['jwt', 'opaque']) {
    const subject = await post({ resource: `${resource}?format=${format}` }, basic('orders-service'));
    const answer = await exchange(subject.access_token);
    assertToken(answer, 'exchange-service');
    assert.equal(answer.issued_token_type, 'urn:ietf:params:oauth:token-type:access_token');
    assert.equal(decodeJwt(answer.access_token).sub, 'orders-service');
  }
  assert.equal((await exchange('stale')).error, 'invalid_request');
});

test('clients change while it runs, and their requests are counted', async () => {
  const client_id = 'post-service';
  const before = (await command('requests')).requests[client_id] ?? {};
  assert.deepEqual(await command('set_secret', { client_id, secret: 'new' }), {});
  assertUnauthenticated(await post({ client_id, ...clients[client_id] }));
  assertToken(await post({ client_id, client_secret: 'new' }), client_id);
  assert.deepEqual(await command('remove_client', { client_id }), {});
  assertUnauthenticated(await post({ client_id, client_secret: 'new' }));
  const { ok = 0, invalid_client = 0 } = before;
  const now = (await command('requests')).requests[client_id];
  assert.deepEqual(now, { ok: ok + 1, invalid_client: invalid_client + 2 });
  assert.ok((await command('set_secret', { client_id, secret: 'x' })).error);
});
