-- The tenants' database of one side. Instants are ISO 8601 text in UTC, as the app writes them.
CREATE TABLE tenants (id TEXT PRIMARY KEY, name TEXT, shop_domain TEXT, currency TEXT, active INTEGER,
    mail_from TEXT, measurement_id TEXT, pixel_id TEXT);
CREATE TABLE customers (id TEXT PRIMARY KEY, tenant_id TEXT, email TEXT, name TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE creators (id TEXT PRIMARY KEY, tenant_id TEXT, name TEXT, email TEXT, provider TEXT, destination TEXT);
CREATE TABLE discount_codes (id TEXT PRIMARY KEY, tenant_id TEXT, code TEXT, creator_id TEXT,
    commission_percent INTEGER);
CREATE TABLE orders (id TEXT PRIMARY KEY, tenant_id TEXT, number INTEGER, customer_email TEXT, customer_name TEXT,
    total_cents INTEGER, currency TEXT, status TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE order_items (id TEXT PRIMARY KEY, order_id TEXT, title TEXT, quantity INTEGER, price_cents INTEGER,
    updated_at TEXT);
CREATE TABLE order_attributions (id TEXT PRIMARY KEY, order_id TEXT, tenant_id TEXT, visitor_id TEXT, channel TEXT,
    campaign TEXT, updated_at TEXT);
CREATE TABLE commissions (id TEXT PRIMARY KEY, order_id TEXT, creator_id TEXT, code TEXT, amount_cents INTEGER,
    currency TEXT, updated_at TEXT);
CREATE TABLE reviews (id TEXT PRIMARY KEY, order_id TEXT, tenant_id TEXT, rating INTEGER, created_at TEXT);
CREATE TABLE withdrawals (id TEXT PRIMARY KEY, creator_id TEXT, amount_cents INTEGER, currency TEXT, status TEXT,
    transfer_id TEXT, error TEXT, updated_at TEXT);
CREATE TABLE ledger_transactions (id TEXT PRIMARY KEY, request_id TEXT, creator_id TEXT, kind TEXT,
    amount_cents INTEGER, currency TEXT, transfer_id TEXT, created_at TEXT);
CREATE TABLE applications (id TEXT PRIMARY KEY, creator_id TEXT, tenant_id TEXT, name TEXT, email TEXT, handle TEXT,
    followers INTEGER, submitted_at TEXT);
CREATE TABLE touchpoints (id TEXT PRIMARY KEY, tenant_id TEXT, visitor_id TEXT, channel TEXT, campaign TEXT,
    occurred_at TEXT);
CREATE TABLE conversions (id TEXT PRIMARY KEY, tenant_id TEXT, visitor_id TEXT, email TEXT, total_cents INTEGER,
    currency TEXT, occurred_at TEXT);
CREATE TABLE attribution_results (id TEXT PRIMARY KEY, order_id TEXT, tenant_id TEXT, model TEXT, credits_json JSONB,
    currency TEXT, day TEXT, attributed_cents INTEGER, created_at TEXT);
CREATE TABLE daily_snapshots (id TEXT PRIMARY KEY, tenant_id TEXT, day TEXT, orders INTEGER, revenue_cents INTEGER,
    currency TEXT, attributed_cents INTEGER, new_customers INTEGER, created_at TEXT);
CREATE TABLE webhook_queue (id TEXT PRIMARY KEY, tenant_id TEXT, topic TEXT, payload_json JSONB, status TEXT,
    retries INTEGER, error TEXT, received_at TEXT, processed_at TEXT);
CREATE INDEX orders_by_day ON orders (tenant_id, created_at);
CREATE INDEX items_by_order ON order_items (order_id);
CREATE INDEX reviews_by_order ON reviews (order_id);
CREATE INDEX touchpoints_by_visitor ON touchpoints (tenant_id, visitor_id);
CREATE INDEX applications_by_creator ON applications (creator_id);
CREATE INDEX queue_by_status ON webhook_queue (status, tenant_id, received_at);
