-- Part of Consign, Apache-2.0 (see LICENSE).
-- Reservation workload, the strongest fair form of it: one server-side call per order.
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
SET search_path = bench;

CREATE TABLE stock (
  location int    NOT NULL,
  sku      int    NOT NULL,
  on_hand  bigint NOT NULL,
  reserved bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (sku, location),
  CHECK (reserved >= 0 AND reserved <= on_hand)
) WITH (fillfactor = 50);                       -- room for HOT updates
CREATE TABLE orders (
  id         bigint PRIMARY KEY,
  customer   int    NOT NULL,
  channel    smallint NOT NULL,
  status     smallint NOT NULL,                 -- 1 reserved, 2 rejected
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE order_lines (
  order_id bigint NOT NULL REFERENCES orders(id),
  line     smallint NOT NULL,
  sku      int NOT NULL,
  qty      int NOT NULL,
  price_cents int NOT NULL,
  PRIMARY KEY (order_id, line)
);
CREATE TABLE reservations (
  order_id bigint NOT NULL REFERENCES orders(id),
  line     smallint NOT NULL,
  location int NOT NULL,
  sku      int NOT NULL,
  qty      int NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (order_id, line)
);
CREATE TABLE order_events (
  order_id bigint NOT NULL,
  seq      smallint NOT NULL,
  kind     smallint NOT NULL,
  at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  body     jsonb NOT NULL,
  PRIMARY KEY (order_id, seq)
);
CREATE SEQUENCE order_id_seq CACHE 100;


INSERT INTO stock SELECT l, s, 1000000000, 0 FROM generate_series(1,:n) s, generate_series(1,:nloc) l;

-- One order: skus[], locs[], qtys[] of 1-4 lines. All lines are reserved or none is.
-- Lines are taken in (sku, location) order so that two orders never wait for each other in a ring.
CREATE FUNCTION place_order(p_customer int, p_skus int[], p_locs int[], p_qtys int[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  oid bigint := nextval('bench.order_id_seq');
  r record; n int := 0;
BEGIN
  INSERT INTO bench.orders(id, customer, channel, status) VALUES (oid, p_customer, 1, 1);
  INSERT INTO bench.order_lines SELECT oid, i, p_skus[i], p_qtys[i], 1999 FROM generate_subscripts(p_skus,1) i;
  INSERT INTO bench.order_events(order_id, seq, kind, body)
    VALUES (oid, 1, 1, jsonb_build_object('customer', p_customer, 'lines', array_length(p_skus,1), 'channel', 'web', 'currency', 'EUR'));
  FOR r IN SELECT i, p_skus[i] AS sku, p_locs[i] AS loc, p_qtys[i] AS q FROM generate_subscripts(p_skus,1) i ORDER BY 2, 3 LOOP
    UPDATE bench.stock SET reserved = reserved + r.q
      WHERE sku = r.sku AND location = r.loc AND on_hand - reserved >= r.q;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'out of stock sku=% loc=%', r.sku, r.loc USING ERRCODE = 'P0001';
    END IF;
    INSERT INTO bench.reservations VALUES (oid, r.i, r.loc, r.sku, r.q, clock_timestamp() + interval '15 min');
    n := n + 1;
  END LOOP;
  INSERT INTO bench.order_events(order_id, seq, kind, body)
    VALUES (oid, 2, 2, jsonb_build_object('reserved', n, 'locations', to_jsonb(p_locs), 'skus', to_jsonb(p_skus)));
  RETURN oid;
END $$;
