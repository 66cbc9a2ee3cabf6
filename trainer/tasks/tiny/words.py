"""The word lists of the generated world: plain data, fixed for good.

A change here changes every document, and with it the task: its hashes and its id.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TOPIC_NOUNS = {
    topic: _words(nouns)
    for topic, nouns in {
        "market": """
            apple pear plum melon onion carrot turnip basket ribbon scale coin barrel sack
            stall pepper lemon
        """,
        "harbour": """
            boat rope anchor net sail oar crab lantern crate flag gull hook plank buoy
            paddle shell
        """,
        "garden": """
            rose tulip seed spade rake fence hedge fountain bench vine beetle pebble
            flower shrub bulb wheelbarrow
        """,
        "school": """
            book pencil map slate ruler desk poem riddle globe story lesson crayon
            notebook satchel chart puzzle
        """,
        "kitchen": """
            kettle spoon plate bowl pot cake pie oven jug biscuit recipe apron pan sausage
            pancake egg
        """,
        "workshop": """
            hammer nail saw drill clock wheel screw engine lever pulley motor bolt chisel
            wrench spring tool
        """,
        "farm": """
            goat hen cow horse pig duck tractor plough bucket gate barn haystack pumpkin
            scarecrow fork cart
        """,
        "station": """
            train ticket trunk whistle signal lamp suitcase timetable carriage rail parcel
            porter umbrella hat coat platform
        """,
        "library": """
            novel shelf-mark letter stamp scroll quill candle atlas manuscript catalogue
            diary essay globe-stand portrait volume page
        """,
        "theatre": """
            mask costume drum flute violin curtain song dance puppet mirror trumpet wig
            dress actor script spotlight
        """,
        "forest": """
            oak pine mushroom owl squirrel deer acorn nest log trail cabin fern badger
            raven stump berry-bush
        """,
        "mine": """
            stone gem crystal pick shovel tunnel helmet ladder tub beam torch ingot ruby
            sapphire emerald nugget
        """,
        "hospital": """
            bandage pill bottle nurse doctor blanket pillow chair thermometer needle
            syringe towel crutch splint potion bed
        """,
        "court": """
            judge lawyer witness robe seal document gavel oath verdict clerk guard
            prisoner claim contract signature rumour
        """,
        "camp": """
            tent compass kite match sleeping-bag raft arrow bow tin marble whisk flask
            ember spear feather stick
        """,
        "festival": """
            balloon lantern-pole firework garland crown medal trophy banner bonfire sweet
            toffee doll parade swing bell dragon
        """,
    }.items()
}
ADJECTIVES = _words("""
    old new red blue green white black golden silver small large tiny huge heavy light broken
    shiny dusty rusty clean dirty wet dry warm cold soft hard smooth rough bright dark pale
    quiet loud strange plain fine cheap precious rare common round square flat long short narrow
    wide thick thin sharp blunt empty full hidden lost famous secret ancient modern wooden iron
    copper paper painted carved striped spotted crooked straight hollow sturdy fragile lovely
    ugly pretty curious simple useful useless gentle fierce lucky noble humble sweet bitter
    fresh stale odd even yellow purple
""")
ADVERBS = _words("""
    slowly quickly quietly carefully eagerly sadly gladly proudly calmly boldly secretly
    patiently angrily gently suddenly twice often again today alone
""")
VERBS = _words("""
    admire paint clean repair borrow lift wash describe remember measure follow touch guard
    notice avoid want miss praise polish inspect move kick open close mend push sketch weigh
    label trade kiss fear love hate ignore discover watch order unpack deliver cover collect
    share sort store print cook heat cool fill lock unlock help pull turn stack load carve smell
    taste test offer accept reject return rescue dust decorate examine photograph name number
    display protect disturb dismantle assemble balance bury burn chase climb crush deposit
    exchange fasten gather improve invent land lower manage mark model mention own pack pass
    pick place pledge plant plunder possess present preserve question raise rattle reach reform
    rent request reward scratch search select shelter shorten soak splash squeeze steer stretch
    support sweeten tame thank trust twist uncover value visit warn welcome whiten
""")
JOBS = _words("""
    baker tailor sailor farmer teacher miller weaver potter carpenter mason painter singer
    doctor-in-training clerk driver hunter fisher gardener printer banker barber butcher cook
    dancer draper fiddler glazier grocer hatter jeweller joiner locksmith merchant miner notary
    poet porter saddler scholar shepherd smith soldier spinner surveyor tanner thatcher tinker
    trader waiter warden wheelwright writer
""")
PREPOSITIONS = _words("""
    near behind beside under above inside across beyond against towards
""")
MOODS = _words("""
    happy sad tired angry proud worried hungry bored excited calm jealous grateful surprised
    nervous cheerful lonely
""")
SPEECH_VERBS = _words("""
    said answered whispered shouted replied sighed explained insisted added muttered
""")
CONJUNCTIONS = _words("""
    because until while although before after
""")
ANIMALS = _words("""
    dog cat pony parrot rabbit donkey hamster tortoise
""")
DAYS = _words("""
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday
""")
WOMEN = _words("""
    Ada Mara Lena Ruth Iris Nora Tessa Olga Zara Hana Freya Wilma Clara Edith Ingrid Paula Selma
    Vera Yara Bella Dora Greta Juno Kira Lydia Mabel Petra Rosa Sofia Una
""")
MEN = _words("""
    Omar Peter Jonas Felix Hugo Ivan Karl Leo Milo Nils Otto Pavel Ralf Samir Tomas Ulrich
    Victor Walter Xaver Yusuf Anton Boris Cyril David Erik Frank Gregor Henry Isaac Jakob
""")
NAME_STEMS = _words("""
    Al Be Cal Dor El Fal Gar Hil Is Jor Kal Lor Mel Nev Or Per Quin Rav Sil Tam Ur Val Win Zel
""")
WOMEN_ENDINGS = _words("""
    ina ela ora issa anna etta una ia
""")
MEN_ENDINGS = _words("""
    on us ard in olf ias ek o
""")
PLACE_STEMS = _words("""
    Mar Nor El Ash Wil Brack Thorn Hal Fen Stan Cro Dun Gold Har Kes Lang Mill Oak Pem Raven Sel
    Ten Wes Yar
""")
SURNAME_ENDINGS = _words("""
    low wick ton field man ley ster son berg worth ham mond
""")
PLACE_ENDINGS = _words("""
    ford bridge dale port haven mouth stead combe minster gate hill cross
""")
SYLLABLES = _words("""
    ba be bi bo da de di do fa fe fi ga go ka ke ki ko la le li lo ma me mi mo na ne ni no pa po
    ra re ri ro sa se si ta te ti to va vi za zo
""")
ONES = _words("""
    no one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
""")
TRAVEL = (
    "on foot",
    "by train",
    "by boat",
    "by cart",
    "on a horse",
    "by coach",
    "in a hurry",
    "in the rain",
    "before noon",
    "after dark",
)
TENS = _words("""
    twenty thirty forty fifty sixty seventy eighty ninety
""")
