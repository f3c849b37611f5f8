"""What the retailer sells."""

import numpy as np
import pyarrow as pa

from seeds.generator.countries import COUNTRIES
from seeds.generator.world import Floats, Ints, words

FIRST_PRODUCT = 1_001
PRODUCTS: tuple[tuple[str, str, float], ...] = (  # name, category, euros
    ("Running shoes", "Shoes", 89.90),
    ("Sneakers, white", "Shoes", 69.90),
    ("Winter boots", "Shoes", 129.00),
    ("Sandals", "Shoes", 39.95),
    ("Slippers", "Shoes", 19.95),
    ("T-shirt", "Clothing", 14.99),
    ("Jeans", "Clothing", 59.90),
    ("Rain jacket", "Clothing", 99.00),
    ("Wool sweater", "Clothing", 79.50),
    ("Socks, 5 pairs", "Clothing", 12.99),
    ("Summer dress", "Clothing", 49.90),
    ("Yoga mat", "Sports", 29.90),
    ("Dumbbells 2 x 5 kg", "Sports", 44.00),
    ("Tent for two", "Sports", 189.00),
    ("Bicycle helmet", "Sports", 64.95),
    ("Football", "Sports", 24.99),
    ("Frying pan 28 cm", "Home", 39.90),
    ('Table lamp "Luna"', "Home", 54.90),
    ("Bed linen", "Home", 45.00),
    ("Coffee maker", "Home", 119.00),
    ("Candle", "Home", 9.95),
    ("Storage box", "Home", 16.50),
    ("Headphones", "Tech", 149.00),
    ("Phone case", "Tech", 19.90),
    ("Power bank", "Tech", 34.90),
    ("Smart watch", "Tech", 229.00),
    ("USB-C cable", "Tech", 9.99),
    ("Bluetooth speaker", "Tech", 79.00),
    ("Hand cream", "Beauty", 7.95),
    ("Shampoo", "Beauty", 5.49),
    ("Perfume", "Beauty", 68.00),
    ("Face mask", "Beauty", 4.99),
    ("Razor", "Beauty", 17.90),
    ("Building blocks", "Toys", 49.99),
    ("Plush bear", "Toys", 22.00),
    ("Board game", "Toys", 34.50),
    ("Puzzle, 1000 pieces", "Toys", 15.90),
    ("Dog bed", "Pets", 42.00),
    ("Cat food 12 x 85 g", "Pets", 8.99),
    ("Leash", "Pets", 13.90),
    ("Garden chair", "Garden", 59.00),
    ("Plant pot", "Garden", 11.50),
    ("Watering can", "Garden", 14.90),
    ("LED string lights", "Garden", 21.90),
    ("Gift card", "Gifts", 25.00),
)


def product_words(product: Ints) -> pa.Array:
    """Product ids as text; a negative product is empty."""
    return words([f"SKU-{FIRST_PRODUCT + i}" for i in range(len(PRODUCTS))], product)


def local_cents(product: Ints, country: Ints) -> Ints:
    """Price of a product in hundredths of the country's currency, ending in 9."""
    euros: Floats = np.array([price for _, _, price in PRODUCTS])
    rates: Floats = np.array([c.euro_rate for c in COUNTRIES])
    return np.round(euros[product] * rates[country] * 10).astype(np.int64) * 10 + 9
