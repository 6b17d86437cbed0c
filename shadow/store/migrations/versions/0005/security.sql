-- Tokens that see some tenants alone.
ALTER TABLE tokens ADD COLUMN tenants text[];
COMMENT ON COLUMN tokens.tenants IS 'to which it is limited; null: to none of them';

-- What a token of some tenants is told of signatures is looked up by tenant.
CREATE INDEX signature_tenants_tenant ON signature_tenants (tenant);

-- Who read an original, and why.
CREATE TABLE raw_reads (
    id uuid PRIMARY KEY,
    read_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    reason text NOT NULL,
    event_id uuid NOT NULL,
    tenant text,
    tasks text[] NOT NULL,
    parts text[] NOT NULL
);
COMMENT ON COLUMN raw_reads.tasks IS 'of the catalogue that the event feeds';
COMMENT ON COLUMN raw_reads.parts IS 'of the event that were opened: data, request, headers';
CREATE INDEX raw_reads_read ON raw_reads (read_at, id);
CREATE INDEX raw_reads_event ON raw_reads (event_id);
