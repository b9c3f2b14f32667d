// Serves what lay beside it when it was started.
const { readFileSync } = require('node:fs');
const files = {
  '/': readFileSync('index.html'),
  '/assets/page.txt': readFileSync('assets/page.txt'),
};
require('node:http')
  .createServer((request, response) => {
    response.statusCode = files[request.url] ? 200 : 404;
    response.end(files[request.url]);
  })
  .listen(process.env.PORT, process.env.HOST);
