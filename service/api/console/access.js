// The role of the key decides what is offered. The API decides what is done.

const ORDER = ['read', 'write', 'operate', 'admin'];

let role = 'read';

export const setRole = (value) => {
  role = value;
};

export const may = (least) => ORDER.indexOf(role) >= ORDER.indexOf(least);
