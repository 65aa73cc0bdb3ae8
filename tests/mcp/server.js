// An MCP server that knows nothing of tokens: two tools, both eras. Prints where it listens, and ends with its standard
// input.
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'orders', version: '1.0.0' });
  for (const name of ['orders.list', 'orders.delete']) {
    server.registerTool(name, { description: name }, async () => ({ content: [{ type: 'text', text: `done: ${name}` }] }));
  }
  return server;
});
const server = createServer(toNodeHandler(handler));
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on('end', () => process.exit(0));
