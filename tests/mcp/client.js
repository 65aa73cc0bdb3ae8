// The official client: `node client.js '{"url", "issuer", "client", "secret", "mode"}'`. It finds the authorization
// server by the 401, calls each tool once, and prints what came of it as one line of JSON.
import { Client, ClientCredentialsProvider, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const { url, issuer, client: clientId, secret: clientSecret, mode } = JSON.parse(process.argv[2]);
const authProvider = new ClientCredentialsProvider({ clientId, clientSecret, expectedIssuer: issuer });
const seen = [];
const transport = new StreamableHTTPClientTransport(new URL(url), {
  authProvider,
  fetch: async (target, options) => {
    const answer = await fetch(target, options);
    const headers = new Headers(options?.headers);
    seen.push([options?.method ?? 'GET', new URL(target).pathname, answer.status, headers.get('mcp-method')]);
    return answer;
  },
});
const client = new Client({ name: 'agent', version: '1.0.0' }, mode ? { versionNegotiation: { mode } } : {});
const outcome = {};
try {
  await client.connect(transport);
  outcome.tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
  // The one that everybody may call comes first: a client goes on asking for what it was refused.
  for (const name of outcome.tools.toReversed()) {
    try {
      const result = await client.callTool({ name, arguments: {} });
      outcome[name] = result.content[0].text;
    } catch (error) {
      outcome[name] = `${error.name}: ${error.message}`;
    }
  }
  outcome.version = client.getNegotiatedProtocolVersion?.();
  await client.close();
} catch (error) {
  outcome.error = `${error.name}: ${error.message}`;
}
console.log(JSON.stringify({ ...outcome, seen }));
process.exit(0);
