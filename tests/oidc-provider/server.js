// oidc-provider with one client that may get access tokens for one resource server. Prints where it is as one line of JSON, and
// ends when its standard input does.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const RESOURCE = 'https://orders.example';
const SCOPES = 'orders:read orders:write';

function key(type, options, members) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', ...members };
}

const client = {
  client_id: 'orders-service',
  client_secret: randomBytes(24).toString('base64url'),
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  scope: SCOPES,
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [client],
    scopes: SCOPES.split(' '),
    jwks: {
      keys: [
        key('rsa', { modulusLength: 2048 }, { kid: 'rs', alg: 'RS256' }),
        key('ec', { namedCurve: 'P-256' }, { kid: 'es', alg: 'ES256' }),
        key('ed25519', {}, { kid: 'ed', alg: 'EdDSA' }),
      ],
    },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        // The resource names the algorithm: `https://orders.example?alg=ES256`, so that a test chooses one.
        getResourceServerInfo: (_context, resource) => ({
          audience: RESOURCE,
          scope: SCOPES,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: new URL(resource).searchParams.get('alg') } },
        }),
      },
    },
  });
  server.on('request', provider.callback());
  console.log(JSON.stringify({
    issuer,
    jwks_uri: `${issuer}/jwks`,
    token_endpoint: `${issuer}/token`,
    client_id: client.client_id,
    client_secret: client.client_secret,
    resource: RESOURCE,
  }));
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
