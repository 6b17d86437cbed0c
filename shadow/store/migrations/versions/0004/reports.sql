-- Lists of pairs that do not match, of any task: where they are rare, the newest pairs would be read through for them.
CREATE INDEX pairs_unlike ON pairs (verdict, id) WHERE verdict <> 'match'
