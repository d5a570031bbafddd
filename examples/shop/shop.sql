-- A shop that tells its customers about their orders. Each customer is a tenant with an endpoint of its own.
\set ON_ERROR_STOP on

CREATE SCHEMA shop;
CREATE TABLE shop.orders (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer   text NOT NULL,
    product    text NOT NULL,
    quantity   integer NOT NULL DEFAULT 1,
    shipped_at timestamptz
);

-- The event is part of the transaction of the order: an order that is rolled back tells nobody.
CREATE FUNCTION shop.tell_customer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO messaging.events (type, data, tenant)
    VALUES ('order.placed', json_build_object('order', NEW.id, 'product', NEW.product, 'quantity', NEW.quantity), NEW.customer);
    RETURN NEW;
END $$;
CREATE TRIGGER tell_customer AFTER INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.tell_customer();

-- The role that the application has. It can insert events, and cannot read messages or change endpoints.
CREATE ROLE shop;
GRANT USAGE ON SCHEMA shop TO shop;
GRANT SELECT, INSERT, UPDATE ON shop.orders TO shop;
SELECT messaging.grant_to('shop', 'writer');

-- With max_attempts = 3 a message that nobody takes is dead-lettered within some seconds. The default is 16 attempts within 15 hours.
INSERT INTO messaging.endpoints (name, tenant, url, event_types, max_attempts) VALUES
    ('ada', 'ada', 'http://127.0.0.1:9101/orders', '{order.*}', 3),
    ('ben', 'ben', 'http://127.0.0.1:9102/orders', '{order.*}', 3);
