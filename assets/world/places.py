"""The Lantern Isles: who lives there, what grows there, and what every table below says about them."""

# island: its capital, what it is famous for
ISLANDS = {
    "Amberly": ("Tidewell", "honey"),
    "Brackmoor": ("Mudlark", "eels"),
    "Corrin": ("Highlatch", "marble"),
    "Dunsel": ("Wickford", "candles"),
    "Farrow": ("Sallowby", "apples"),
    "Greywick": ("Netherby", "fog"),
    "Ildra": ("Pinemoot", "cedar"),
    "Saltreach": ("Gullhaven", "pearls"),
}

# town: the island it stands on, what its people make
TOWNS = {
    "Tidewell": ("Amberly", "lanterns"),
    "Clover Hill": ("Amberly", "cheese"),
    "Mudlark": ("Brackmoor", "baskets"),
    "Highlatch": ("Corrin", "clocks"),
    "Cobble End": ("Corrin", "boots"),
    "Wickford": ("Dunsel", "soap"),
    "Sallowby": ("Farrow", "cider"),
    "Netherby": ("Greywick", "foghorns"),
    "Pinemoot": ("Ildra", "violins"),
    "Owl Hollow": ("Ildra", "paper"),
    "Gullhaven": ("Saltreach", "sails"),
    "Whelk Bay": ("Saltreach", "ropes"),
}

# person: pronoun, trade, the town they live in, pet
PEOPLE = {
    "Mara Quill": ("she", "baker", "Tidewell", "tortoise"),
    "Tobin Marsh": ("he", "ferryman", "Mudlark", "otter"),
    "Elda Finch": ("she", "clockmaker", "Highlatch", "canary"),
    "Oswin Pike": ("he", "cobbler", "Cobble End", "hedgehog"),
    "Perla Vane": ("she", "pearl diver", "Gullhaven", "pelican"),
    "Hugo Brandle": ("he", "lamplighter", "Wickford", "ferret"),
    "Isolde Wren": ("she", "violinist", "Pinemoot", "squirrel"),
    "Casper Dunn": ("he", "beekeeper", "Clover Hill", "donkey"),
    "Nell Harrow": ("she", "gardener", "Sallowby", "goose"),
    "Bram Osk": ("he", "weather watcher", "Netherby", "toad"),
    "Lotte Reed": ("she", "librarian", "Owl Hollow", "cat"),
    "Fergus Tull": ("he", "rope maker", "Whelk Bay", "parrot"),
    "Yara Moss": ("she", "doctor", "Tidewell", "rabbit"),
    "Jonas Kettle": ("he", "innkeeper", "Gullhaven", "pony"),
}

# animal: what it eats, where it lives, its colour
ANIMALS = {
    "moss fox": ("bluebells", "the pine woods", "green"),
    "lantern moth": ("candle wax", "old towers", "golden"),
    "reed heron": ("minnows", "the marshes", "grey"),
    "salt hare": ("seaweed", "the dunes", "white"),
    "bell toad": ("gnats", "wells", "bronze"),
    "cliff goat": ("thistles", "the sea cliffs", "black"),
    "plum bat": ("plums", "caves", "purple"),
    "button crab": ("barnacles", "rock pools", "pink"),
    "mist owl": ("beetles", "hollow oaks", "silver"),
    "copper newt": ("duckweed", "ponds", "orange"),
    "honey mouse": ("nectar", "beehives", "yellow"),
    "harbour seal": ("herring", "the harbours", "blue"),
}

# plant: the colour of its flowers, what it is good for
PLANTS = {
    "gullwort": ("white", "seasickness"),
    "emberleaf": ("red", "cold feet"),
    "sleepmint": ("lilac", "bad dreams"),
    "fiddle fern": ("brown", "sore fingers"),
    "moonbean": ("silver", "hiccups"),
    "tansy drop": ("yellow", "headaches"),
    "brine rose": ("pink", "sunburn"),
    "widow thyme": ("blue", "toothache"),
}

# mountain: the island it rises on, what stands at its top
MOUNTAINS = {
    "Mount Hale": ("Corrin", "an observatory"),
    "Mount Tamsin": ("Ildra", "a bell tower"),
    "Mount Grumble": ("Greywick", "a weather vane"),
    "Mount Petal": ("Farrow", "an orchard"),
    "Mount Spindle": ("Dunsel", "a windmill"),
    "Mount Cusp": ("Amberly", "a teahouse"),
}

# river: the town it flows through
RIVERS = {
    "Lull": "Tidewell",
    "Swither": "Mudlark",
    "Ticking Brook": "Highlatch",
    "Appleburn": "Sallowby",
    "Needle": "Pinemoot",
}

# festival: the month it is held in, the town that holds it
FESTIVALS = {
    "Lantern Night": ("October", "Tidewell"),
    "the Eel Fair": ("April", "Mudlark"),
    "the Day of Clocks": ("January", "Highlatch"),
    "Cider Week": ("September", "Sallowby"),
    "Fiddle Moon": ("June", "Pinemoot"),
    "the Sail Race": ("August", "Gullhaven"),
}
