"""Words and sentence patterns of the demo reports: plain data.

A pattern is a line of tokens, where ``{slot}`` stands for one word. A slot is bound once for a report (:data:`BOUND`
and the person), filled with any word (:data:`FREE`), or filled by the mood (:data:`BRIGHT` and :data:`GLOOMY`). The two
mood tables have the same slots, no word in common, and no word that a pattern or another slot uses. A word that may
follow "a" does not begin with a vowel.
"""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """What a report is made of: one opening, one to three different middles, one closing."""

    openings: tuple[str, ...]
    middles: tuple[str, ...]
    closings: tuple[str, ...]


PEOPLE: tuple[tuple[str, str, str], ...] = (  # name, pronoun, possessive
    ("Clara", "she", "her"),
    ("Ida", "she", "her"),
    ("Nora", "she", "her"),
    ("Ruth", "she", "her"),
    ("Oskar", "he", "his"),
    ("Peter", "he", "his"),
    ("Simon", "he", "his"),
    ("Tom", "he", "his"),
)

BOUND: dict[str, tuple[str, ...]] = {
    "town": ("Ashby", "Elmford", "Harrow", "Millbrook", "Northam", "Wexley"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "season": ("spring", "summer", "autumn", "winter"),
    "daytime": ("morning", "afternoon", "evening"),
    "vehicle": ("train", "bus", "ferry", "coach"),
}

FREE: dict[str, tuple[str, ...]] = {
    "link": ("meanwhile", "later", "besides", "naturally"),
    "compass": ("north", "south", "east", "west"),
    "water": ("river", "lake", "harbour", "canal"),
    "outdoors": ("park", "square", "meadow", "playground"),
    "fellow": ("farmer", "student", "sailor", "nurse", "teacher"),
    "player": ("fiddler", "piper", "singer", "drummer"),
    "fruit": ("apples", "pears", "plums", "cherries", "tomatoes"),
    "ware": ("bread", "cheese", "honey", "fish", "butter"),
    "goods": ("baskets", "candles", "scarves", "pots", "lanterns"),
    "flowers": ("roses", "tulips", "lilies", "daisies", "poppies"),
    "crop": ("beans", "carrots", "onions", "peas", "leeks"),
    "bird": ("robin", "blackbird", "thrush", "sparrow"),
    "edge": ("wall", "fence", "gate", "pond"),
    "tool": ("spade", "rake", "ladder", "hoe"),
    "tree": ("oak", "cherry", "pear", "walnut"),
}

BRIGHT: dict[str, tuple[str, ...]] = {
    "weather": ("sunny", "bright", "golden", "lovely", "clear"),
    "sky": ("clear", "blue", "golden", "bright", "radiant"),
    "air": ("warm", "mild", "fresh", "balmy"),
    "wind": ("gentle", "soft", "friendly", "playful"),
    "walked": ("strolled", "wandered", "ambled", "danced"),
    "outlook": ("promising", "hopeful", "cheerful", "encouraging"),
    "most": ("finest", "loveliest", "happiest", "best"),
    "surface": ("calm", "silver", "sparkling", "peaceful"),
    "clouds": ("white", "fluffy", "scattered", "rosy"),
    "played": ("laughed", "played", "danced", "sang"),
    "feeling": ("happy", "cheerful", "content", "grateful", "delighted"),
    "trip": ("pleasant", "delightful", "smooth", "relaxing", "wonderful"),
    "left": ("promptly", "smoothly", "punctually"),
    "temper": ("cheerful", "sunny", "buoyant", "merry"),
    "seats": ("comfortable", "soft", "spotless", "roomy"),
    "windows": ("clean", "polished", "sparkling"),
    "manner": ("kind", "polite", "patient", "friendly"),
    "faced": ("smiled", "beamed", "winked"),
    "view": ("splendid", "beautiful", "charming", "magnificent"),
    "food": ("delicious", "tasty", "fresh", "superb"),
    "coffee": ("rich", "excellent", "fragrant"),
    "taste": ("delicious", "sweet", "fresh"),
    "arrived": ("safely", "intact", "promptly"),
    "voiced": ("laughed", "sang", "smiled", "hummed"),
    "with": ("pleasure", "fondness", "gratitude", "joy"),
    "market": ("splendid", "lively", "joyful", "successful"),
    "trade": ("brisk", "lively", "excellent", "thriving"),
    "ripe": ("ripe", "sweet", "juicy", "crisp"),
    "amount": ("plenty", "heaps", "lots"),
    "price": ("fair", "generous", "reasonable"),
    "tune": ("merry", "cheerful", "jolly", "lively"),
    "expect": ("profits", "crowds", "success"),
    "result": ("success", "triumph", "pleasure", "delight"),
    "garden": ("lush", "splendid", "healthy", "glorious"),
    "time": ("glorious", "fruitful", "generous", "wonderful"),
    "bloom": ("blooming", "thriving", "glowing", "flourishing"),
    "guests": ("butterflies", "ladybirds", "bees"),
    "soil": ("rich", "crumbly", "fertile"),
    "rain": ("gentle", "welcome", "soft"),
    "perched": ("sang", "chirped", "danced"),
    "grew": ("quickly", "beautifully", "strongly"),
    "judged": ("praised", "admired", "loved"),
    "tree_look": ("proud", "radiant", "healthy"),
}

GLOOMY: dict[str, tuple[str, ...]] = {
    "weather": ("grey", "rainy", "foggy", "dreary", "bleak"),
    "sky": ("grey", "leaden", "stormy", "murky", "dull"),
    "air": ("cold", "damp", "raw", "chilly"),
    "wind": ("bitter", "harsh", "savage", "biting"),
    "walked": ("trudged", "shuffled", "hurried", "limped"),
    "outlook": ("grim", "hopeless", "discouraging", "worrying"),
    "most": ("worst", "saddest", "dullest", "gloomiest"),
    "surface": ("black", "muddy", "angry", "swollen"),
    "clouds": ("heavy", "dark", "threatening", "gloomy"),
    "played": ("shivered", "sulked", "cried", "quarrelled"),
    "feeling": ("tired", "miserable", "disappointed", "unhappy", "weary"),
    "trip": ("miserable", "tiring", "dreadful", "bumpy", "wretched"),
    "left": ("late", "slowly", "reluctantly"),
    "temper": ("foul", "sour", "sullen", "bleak"),
    "seats": ("hard", "filthy", "broken", "cramped"),
    "windows": ("dirty", "cracked", "greasy"),
    "manner": ("rude", "surly", "hostile", "grumpy"),
    "faced": ("scowled", "shouted", "snapped"),
    "view": ("dismal", "ugly", "disappointing", "dreary"),
    "food": ("stale", "tasteless", "burnt", "cold"),
    "coffee": ("bitter", "watery", "sour"),
    "taste": ("bitter", "sour", "stale"),
    "arrived": ("damaged", "soaked", "late"),
    "voiced": ("coughed", "complained", "grumbled", "sighed"),
    "with": ("regret", "bitterness", "dread", "disgust"),
    "market": ("dismal", "gloomy", "sluggish", "poor"),
    "trade": ("slack", "sluggish", "poor", "dismal"),
    "ripe": ("rotten", "sour", "bruised", "mouldy"),
    "amount": ("few", "none"),
    "price": ("unfair", "steep", "outrageous"),
    "tune": ("mournful", "sad", "sorrowful", "bleak"),
    "expect": ("losses", "trouble", "failure"),
    "result": ("failure", "disaster", "misery", "letdown"),
    "garden": ("neglected", "withered", "shabby", "lifeless"),
    "time": ("cruel", "harsh", "miserable", "barren"),
    "bloom": ("wilting", "dying", "drooping", "fading"),
    "guests": ("slugs", "mildew", "weeds"),
    "soil": ("sodden", "sour", "barren"),
    "rain": ("relentless", "endless", "bitter"),
    "perched": ("shivered", "sulked", "crouched"),
    "grew": ("poorly", "badly", "slowly"),
    "judged": ("criticised", "mocked", "pitied"),
    "tree_look": ("broken", "leafless", "lifeless"),
}

WEATHER = Topic(
    openings=(
        "it was a {weather} {daytime} in {town} .",
        "the {daytime} in {town} was {weather} and {air} .",
        "on {day} , a {sky} sky hung over {town} .",
        "{town} woke to a {weather} {day} in {season} .",
    ),
    middles=(
        "a {wind} wind came from the {compass} .",
        "the air felt {air} , and people {walked} through the streets .",
        "the forecast for the weekend was {outlook} .",
        "the {water} looked {surface} under the {clouds} clouds .",
        "{who} called it the {most} {daytime} of the {season} .",
        "the children {played} in the {outdoors} until supper .",
        "a {fellow} in the {outdoors} said that the {season} had been {time} so far .",
    ),
    closings=(
        "everyone went home {feeling} .",
        "{who} watched the sky at dusk and felt {feeling} .",
        "the days ahead look {outlook} as well .",
        "the {daytime} ended under a {sky} sky .",
    ),
)

TRAVEL = Topic(
    openings=(
        "{who} took the {vehicle} to {town} on {day} , and the journey was {trip} .",
        "the {vehicle} to {town} left {left} on {day} {daytime} .",
        "it was a {trip} {daytime} for the passengers to {town} .",
        "{who} set off for {town} on {day} in a {temper} mood .",
    ),
    middles=(
        "the seats were {seats} , and the windows were {windows} .",
        "the driver was {manner} and {faced} at every stop .",
        "{who} sat beside a {manner} {fellow} .",
        "the view of the {water} was {view} .",
        "lunch on the {vehicle} was {food} , and the coffee was {coffee} .",
        "{who} found that {her} luggage had arrived {arrived} .",
        "a {fellow} by the door {voiced} all the way to {town} .",
    ),
    closings=(
        "{who} called it the {most} trip of the {season} .",
        "in the end {who} reached {town} {feeling} .",
        "{who} will remember the {vehicle} with {with} .",
        "the way back looks {outlook} as well .",
    ),
)

MARKET = Topic(
    openings=(
        "the {day} market in {town} opened under a {sky} sky .",
        "it was a {market} {day} at the market in {town} .",
        "{who} opened {her} stall in {town} on a {weather} {daytime} .",
        "trade at the market in {town} was {trade} on {day} .",
    ),
    middles=(
        "the {fruit} were {ripe} , and the {ware} was {food} .",
        "{who} sold {amount} of {her} {goods} before noon .",
        "shoppers {walked} between the stalls of {goods} and {fruit} .",
        "prices for {ware} were {price} , and the shoppers {voiced} .",
        "a {player} by the fountain began a {tune} tune .",
        "the baker was {manner} and {faced} at every customer .",
        "{who} bought {ware} and {fruit} from a {manner} {fellow} .",
    ),
    closings=(
        "{who} packed up and went home {feeling} .",
        "the traders expect {expect} next week .",
        "{who} called it the {most} market of the {season} .",
        "everyone agreed that the day had been a {result} .",
    ),
)

GARDEN = Topic(
    openings=(
        "{who} spent a {weather} {daytime} in {her} garden in {town} .",
        "the gardens of {town} looked {garden} this {season} .",
        "it has been a {time} {season} for the gardens of {town} .",
        "on {day} the {flowers} in {town} were {bloom} .",
    ),
    middles=(
        "the {flowers} were {bloom} , and the {crop} tasted {taste} .",
        "{who} found {guests} among the {flowers} .",
        "the soil was {soil} after the {rain} rain .",
        "a {bird} {perched} beside the {edge} .",
        "the {crop} grew {grew} behind the {edge} .",
        "the neighbours {judged} the {flowers} over the fence .",
        "the old {tree} tree by the {edge} stood {tree_look} in the {daytime} light .",
    ),
    closings=(
        "{who} put the {tool} away and went inside {feeling} .",
        "{who} called it the {most} harvest of the {season} .",
        "the weeks ahead look {outlook} .",
        "the work in the garden ended with {with} .",
    ),
)

TOPICS: dict[str, Topic] = {"weather": WEATHER, "travel": TRAVEL, "market": MARKET, "garden": GARDEN}
