// The one way in which a record is refused: docs/protocol.md, "Validity is static".

/** A record, or a part of one, is not valid. `where` names the field, such as "body: title". */
export class Invalid extends Error {
  constructor(where, why) {
    super(where ? `${where}: ${why}` : why);
    this.where = where;
  }
}
