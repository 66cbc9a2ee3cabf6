"""One module per group of commands; `node.cli` names them in a table and imports them when used."""
