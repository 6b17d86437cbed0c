CREATE TABLE acts (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    kind text NOT NULL,
    tasks text[] NOT NULL,
    says text NOT NULL,
    reason text,
    link text
);
COMMENT ON COLUMN acts.kind IS 'token, egress_key, dead_letter, sealing, judgement or epoch';
COMMENT ON COLUMN acts.tasks IS 'of the catalogue that it was about';
CREATE INDEX acts_kind ON acts (kind, at, id);
