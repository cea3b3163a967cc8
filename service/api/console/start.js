// Starts the console after the first paint: the browser shows the head of the page before it loads anything longer.

requestAnimationFrame(() =>
  setTimeout(() => {
    document.head.append(document.getElementById('modules').content);
    import('./main.js');
  }),
);
