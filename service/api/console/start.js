// Starts the console after the first paint: the browser shows the head of the page before it runs anything longer.

requestAnimationFrame(() => setTimeout(() => import('./main.js')));
