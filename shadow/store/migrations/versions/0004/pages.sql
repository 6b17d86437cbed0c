-- Who is signed in to the pages.
CREATE TABLE page_sessions (
    digest BYTEA NOT NULL,
    token UUID NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT page_sessions_pkey PRIMARY KEY (digest)
);
CREATE INDEX page_sessions_expiry ON page_sessions (expires_at);
COMMENT ON COLUMN page_sessions.digest IS 'SHA-256 of what the browser holds';
COMMENT ON COLUMN page_sessions.token IS 'with which somebody signed in, and with which it ends';
COMMENT ON COLUMN page_sessions.expires_at IS 'moves on while it is used';
