-- What is kept of an effect stands in its own row. Effects of before keep theirs in `bodies`.
ALTER TABLE effects ADD COLUMN data bytea;
COMMENT ON COLUMN effects.data IS 'the evidence, see store/codec.py; null: in `bodies`, as part data';
-- It is compressed already.
ALTER TABLE effects ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON COLUMN bodies.part IS 'originals: data (of an event), request, headers, overlay, answer, answer_headers, pending, traits; evidence: evidence (of an event), output, and data of an effect that has none in its row';
