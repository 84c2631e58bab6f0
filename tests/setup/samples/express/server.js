const express = require('express');

const app = express();

app.get('/', (request, response) => response.send('<h1>Notes</h1>'));
app.get('/notes', (request, response) => response.json(['one', 'two']));
app.get('/notes/:number', (request, response) => response.json(request.params.number));
app.post('/notes', (request, response) => response.status(201).end());
app.get('/health', (request, response) => response.send('ok'));

const server = app.listen(process.env.PORT || 3000, process.env.HOST);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
