// oidc-provider with a client for every way to authenticate, all for one resource server. Prints where it is and what its clients
// hold as one line of JSON; then each line of its standard input is a command, answered by one line. Ends when its input does.
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createInterface } from 'node:readline';

import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { errors, Provider } from 'oidc-provider';

import { authority, clientCertificate, serverCertificate } from './certificates.js';

// Standard output is for answers; the library's notices are none.
console.info = console.error;

const RESOURCE = 'https://orders.example';
const SCOPES = 'orders:read orders:write';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

const KEY_TYPES = {
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', {}],
};

/** Every client's metadata. Not the provider's static clients, because those never change. */
const clients = new Map();
/** Token requests: how often by client and result, which is `ok` or the error's code. */
const requests = {};

function pem(privateKey) {
  return privateKey.export({ type: 'pkcs8', format: 'pem' });
}

function jwk(key, kid, alg) {
  return { ...key.export({ format: 'jwk' }), kid, alg, use: 'sig' };
}

function register(client_id, method, more) {
  clients.set(client_id, {
    client_id,
    token_endpoint_auth_method: method,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: SCOPES,
    ...more,
  });
}

function withSecret(client_id, method, more) {
  const client_secret = randomBytes(24).toString('base64url');
  register(client_id, method, { client_secret, ...more });
  return { client_secret };
}

function withKey(client_id, alg) {
  const { privateKey, publicKey } = generateKeyPairSync(...KEY_TYPES[alg]);
  const kid = `${client_id}-key`;
  register(client_id, 'private_key_jwt', {
    token_endpoint_auth_signing_alg: alg,
    jwks: { keys: [jwk(publicKey, kid, alg)] },
  });
  return { kid, alg, key: pem(privateKey) };
}

function withCertificate(client_id, issuer) {
  const { privateKey, pem: certificate } = clientCertificate(issuer, client_id);
  register(client_id, 'tls_client_auth', { tls_client_auth_subject_dn: `CN=${client_id}` });
  return { certificate, key: pem(privateKey) };
}

class Memory {
  constructor(model) {
    this.entries = model === 'Client' ? clients : new Map();
  }

  async find(id) {
    return this.entries.get(id);
  }

  async upsert(id, entry) {
    this.entries.set(id, entry);
  }

  async destroy(id) {
    this.entries.delete(id);
  }
}

// The resource says what its tokens are like, so that a test chooses: `https://orders.example?alg=RS256&ttl=5&format=opaque`.
function resourceServer(resource) {
  const { origin, searchParams } = new URL(resource);
  if (origin !== RESOURCE) {
    throw new errors.InvalidTarget('unknown resource');
  }
  return {
    audience: RESOURCE,
    scope: SCOPES,
    accessTokenFormat: searchParams.get('format') ?? 'jwt',
    accessTokenTTL: Number(searchParams.get('ttl') ?? 300),
    jwt: { sign: { alg: searchParams.get('alg') ?? 'ES256' } },
  };
}

// RFC 8693 in the least: one access token of this provider for another, with the same subject and no further scopes.
function exchange(provider, keys) {
  const live = async (token) => {
    const opaque = await provider.ClientCredentials.find(token) ?? await provider.AccessToken.find(token);
    if (opaque) {
      return opaque.isValid && { sub: opaque.accountId ?? opaque.clientId, scope: opaque.scope };
    }
    const verified = await jwtVerify(token, keys, { issuer: provider.issuer, typ: 'at+jwt' }).catch(() => {});
    return verified?.payload;
  };
  return async (ctx) => {
    const { client, params } = ctx.oidc;
    const types = [params.subject_token_type, params.requested_token_type ?? ACCESS_TOKEN];
    const subject = params.subject_token && await live(params.subject_token);
    if (!subject || types.some((type) => type !== ACCESS_TOKEN)) {
      throw new errors.InvalidRequest('only a live access token is exchanged, for another');
    }
    const permitted = (subject.scope ?? '').split(' ');
    const scope = params.scope ?? subject.scope;
    if (scope?.split(' ').some((one) => !permitted.includes(one))) {
      throw new errors.InvalidScope('more than the subject token permits', scope);
    }
    const resource = params.resource ?? RESOURCE;
    const token = new provider.AccessToken({ client, accountId: subject.sub, scope });
    token.resourceServer = new provider.ResourceServer(resource, resourceServer(resource));
    const access_token = await token.save();
    ctx.body = {
      access_token,
      issued_token_type: ACCESS_TOKEN,
      token_type: token.tokenType,
      expires_in: token.expiration,
      scope,
    };
  };
}

/** Who a token request says that it comes from. */
function asking({ oidc, headers }) {
  const [, basic] = /^basic (.+)$/i.exec(headers.authorization ?? '') ?? [];
  const assertion = () => oidc.params?.client_assertion && decodeJwt(oidc.params.client_assertion).sub;
  try {
    return oidc.client?.clientId ?? oidc.params?.client_id
      ?? (basic && Buffer.from(basic, 'base64').toString().split(':')[0]) ?? assertion() ?? '';
  } catch {
    return '';
  }
}

function start(issuer) {
  const keyPair = (kid, alg) => jwk(generateKeyPairSync(...KEY_TYPES[alg]).privateKey, kid, alg);
  const keys = [keyPair('rs', 'RS256'), keyPair('es', 'ES256'), keyPair('ed', 'EdDSA')];
  const provider = new Provider(issuer, {
    adapter: Memory,
    // One that no client may have: another than these would be left out of the answer, not refused.
    scopes: [...SCOPES.split(' '), 'orders:admin'],
    jwks: { keys },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth'],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      mTLS: {
        enabled: true,
        tlsClientAuth: true,
        getCertificate: ({ socket }) => socket.getPeerX509Certificate?.(),
        certificateAuthorized: ({ socket }) => socket.authorized,
        certificateSubjectMatches: ({ socket }, property, expected) =>
          property === 'tls_client_auth_subject_dn' && socket.getPeerX509Certificate().subject === expected,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        getResourceServerInfo: (_context, resource) => resourceServer(resource),
      },
    },
  });
  const verifying = keys.map(({ kid, alg, ...key }) => jwk(createPublicKey({ key, format: 'jwk' }), kid, alg));
  provider.registerGrantType(
    EXCHANGE,
    exchange(provider, createLocalJWKSet({ keys: verifying })),
    ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope'],
  );
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.oidc?.route === 'token') {
      // The library lets a client present its secret either way.
      const method = ctx.headers.authorization ? 'client_secret_basic' : 'client_secret_post';
      if (ctx.status === 200 && clients.get(ctx.oidc.client.clientId)?.client_secret
        && ctx.oidc.client.clientAuthMethod !== method) {
        ctx.status = 401;
        ctx.body = { error: 'invalid_client', error_description: 'another method is registered' };
      }
      const results = (requests[asking(ctx)] ??= {});
      const result = ctx.status === 200 ? 'ok' : ctx.body.error;
      results[result] = (results[result] ?? 0) + 1;
    }
  });
  return provider;
}

const commands = {
  set_secret({ client_id, secret }) {
    const { client_secret, ...client } = clients.get(client_id) ?? {};
    if (!client_secret) {
      throw new Error(`${client_id} has no secret`);
    }
    clients.set(client_id, { ...client, client_secret: secret });
  },

  remove_client({ client_id }) {
    if (!clients.delete(client_id)) {
      throw new Error(`no ${client_id}`);
    }
  },

  requests() {
    return { requests };
  },
};

function answer(line) {
  try {
    const { command, ...more } = JSON.parse(line);
    return { ...commands[command](more) };
  } catch (error) {
    return { error: String(error) };
  }
}

const root = authority('attache test authority');
const { privateKey: key, pem: cert } = serverCertificate(root, 'localhost');
const plain = createServer().listen(0, '127.0.0.1');
// Whoever comes without a certificate, or with a wrong one, hears so from the token endpoint.
const tls = createTlsServer({ key: pem(key), cert, ca: root.pem, requestCert: true, rejectUnauthorized: false })
  .listen(0, '127.0.0.1');
await Promise.all([once(plain, 'listening'), once(tls, 'listening')]);

const credentials = {
  'orders-service': withSecret('orders-service', 'client_secret_basic'),
  'post-service': withSecret('post-service', 'client_secret_post'),
  'jwt-service-es256': withKey('jwt-service-es256', 'ES256'),
  'jwt-service-rs256': withKey('jwt-service-rs256', 'RS256'),
  'jwt-service-ps256': withKey('jwt-service-ps256', 'PS256'),
  'jwt-service-eddsa': withKey('jwt-service-eddsa', 'EdDSA'),
  'mtls-service': withCertificate('mtls-service', root),
  'exchange-service': withSecret('exchange-service', 'client_secret_basic', { grant_types: [EXCHANGE] }),
};
const issuer = `http://127.0.0.1:${plain.address().port}`;
const provider = start(issuer);
plain.on('request', provider.callback());
tls.on('request', provider.callback());
console.log(JSON.stringify({
  issuer,
  jwks_uri: `${issuer}/jwks`,
  token_endpoint: `${issuer}/token`,
  tls_token_endpoint: `https://127.0.0.1:${tls.address().port}/token`,
  tls_authority: root.pem,
  resource: RESOURCE,
  clients: credentials,
}));

const control = createInterface({ input: process.stdin });
control.on('line', (line) => console.log(JSON.stringify(answer(line))));
control.on('close', () => process.exit(0));
