-- The goods of a small coffee shop, for demonstrations: safe to run again, changes nothing that is
-- there.  Which payments fail is decided by the card, not by the product.
insert into product (id, sku, name, price_minor, currency, stock) values
    ('01930000-0000-7000-8000-000000000001', 'beans-espresso-1kg', 'Espresso Beans, 1 kg', 2490, 'EUR', 500),
    ('01930000-0000-7000-8000-000000000002', 'beans-filter-500g', 'Filter Roast, 500 g', 1590, 'EUR', 500),
    ('01930000-0000-7000-8000-000000000003', 'beans-decaf-500g', 'Decaf, 500 g', 1690, 'EUR', 200),
    ('01930000-0000-7000-8000-000000000004', 'grinder-hand', 'Hand Grinder, Steel Burrs', 8900, 'EUR', 60),
    ('01930000-0000-7000-8000-000000000005', 'kettle-gooseneck', 'Gooseneck Kettle, 0.9 l', 5450, 'EUR', 80),
    ('01930000-0000-7000-8000-000000000006', 'dripper-ceramic', 'Ceramic Dripper, Size 2', 2195, 'EUR', 120),
    ('01930000-0000-7000-8000-000000000007', 'filters-100', 'Paper Filters, 100 Pieces', 499, 'EUR', 2000),
    ('01930000-0000-7000-8000-000000000008', 'cup-porcelain', 'Porcelain Cup, 180 ml', 1250, 'EUR', 300),
    ('01930000-0000-7000-8000-000000000009', 'scale-brew', 'Brewing Scale, 0.1 g', 4900, 'EUR', 90),
    ('01930000-0000-7000-8000-00000000000a', 'gift-card-25', 'Gift Card', 2500, 'EUR', 100000),
    ('01930000-0000-7000-8000-00000000000b', 'machine-lever', 'Lever Espresso Machine, Restored 1974', 189000, 'EUR', 3)
on conflict do nothing;
