"""surveys/responses: scores and comments in several languages, glad, cross and neither."""

import numpy as np

from seeds.generator.cards import Forms, Manners, fill_cards
from seeds.generator.countries import COUNTRIES
from seeds.generator.delivery import Delivery
from seeds.generator.people import People
from seeds.generator.purchases import Purchases
from seeds.generator.records import blanks
from seeds.generator.world import DAY, World, roll

MANNERS = Manners(typo=0.03, no_mail=0.12, no_phone=0.7, landline=0.15, work_mail=0.15)
RESPONSE_RATE = 0.045
# (mood, language) → sentences; two of them make a comment
GLAD, NEITHER, CROSS = range(3)
COMMENTS = {
    (GLAD, "en"): (
        "Fast delivery, great quality.|Love it!|Best shop in town, I will be back.|"
        'The staff were "brilliant", thank you.|Exactly as described.|Five stars!!!'
    ),
    (NEITHER, "en"): (
        "It is okay.|Delivery took four days.|Nothing special, nothing wrong.|"
        "I bought it for my sister.|Price is fair, packaging could be smaller.|n/a"
    ),
    (CROSS, "en"): (
        "Terrible, it broke after two days.|Nobody answers the phone.|"
        "I am still waiting for my refund, this is a joke.|Never again!|"
        'Poor quality, overpriced.|They call it "express", it took three weeks.'
    ),
    (GLAD, "de"): (
        "Super schnell geliefert, alles bestens.|Sehr freundlich!|Gerne wieder.|"
        "Genau wie beschrieben, top Qualität.|Die Größe passt perfekt."
    ),
    (NEITHER, "de"): (
        "Geht so.|Lieferung war in Ordnung.|Habe es meiner Tochter geschenkt.|Durchschnittlich."
    ),
    (CROSS, "de"): (
        "Leider kaputt angekommen.|Der Kundendienst meldet sich nicht.|"
        "Nie wieder, schade um das Geld.|Warte seit Wochen auf die Rückzahlung."
    ),
    (GLAD, "fr"): (
        "Livraison rapide, très satisfaite.|Parfait, merci !|Je recommande.|Très bonne qualité."
    ),
    (NEITHER, "fr"): "Correct, sans plus.|C'était un cadeau.|Rien à signaler.",
    (CROSS, "fr"): (
        "Très déçu, le produit est cassé.|Service client injoignable.|Trop cher, mauvaise qualité."
    ),
}
SPOKEN = ("en", "de", "fr")


def responses(world: World, people: People, bought: Purchases, delivery: Delivery) -> None:
    """Write surveys/responses: some purchases are followed by an answer."""
    rng = world.rng("surveys")
    chosen = np.flatnonzero(rng.random(len(bought.person)) < RESPONSE_RATE)
    at = bought.at[chosen] + DAY + (rng.exponential(5, len(chosen)) * DAY).astype(np.int64)
    in_time = np.flatnonzero(at < world.end)
    in_order = in_time[np.lexsort((chosen[in_time], at[in_time]))]
    chosen, at = chosen[in_order], at[in_order]
    person, count = bought.person[chosen], len(chosen)
    fill_cards(world, "survey_cards", Forms.once(person, at), MANNERS)
    # who will not come back is less pleased
    leaving = people.gone[person] < at + 60 * DAY
    pleasure = np.where(leaving, 5.8, 8.1) + rng.normal(0, 2.2, count)
    nps = np.clip(np.round(pleasure), 0, 10).astype(np.int64)
    mood = np.select([nps >= 9, nps >= 6], [GLAD, NEITHER], CROSS)
    language = np.array([_spoken(c.language) for c in COUNTRIES])[people.country[person]]
    world.show(
        "survey_extra",
        {
            "row": np.arange(count),
            "nps": nps,
            "csat": np.clip(1 + nps // 2 + rng.integers(-1, 2, count), 1, 5),
            "said": mood * len(SPOKEN) + language,
            "is_online": bought.is_online[chosen],
            "comment_die": roll(rng, count),
            "second_die": roll(rng, count),
            "late_die": roll(rng, count),
            "_blank": blanks(rng, count, 8),
        },
    )
    world.make("survey_rows", _RESPONSES)
    world.hide("survey_extra")
    delivery.deliver(world, "surveys/responses", "select * from survey_rows")
    world.know("select 'surveys:' || response_id, 'P' || person from survey_rows")
    world.drop("survey_rows", "survey_cards")


def _spoken(language: str) -> int:
    return SPOKEN.index(language) if language in SPOKEN else 0


def _sentences() -> str:
    """SQL list of lists of sentences, at 1 + mood * languages + language."""
    lists = []
    for mood in (GLAD, NEITHER, CROSS):
        for language in SPOKEN:
            sentences = COMMENTS[mood, language].replace("'", "''").split("|")
            lists.append("['" + "', '".join(sentences) + "']")
    return f"[{', '.join(lists)}]"


_RESPONSES = f"""
    with answered as (
        select *, {_sentences()}[1 + said] as sentences
        from survey_cards
        inner join survey_extra using (row)
    )

    select
        'V' || (90001 + row) as response_id,
        email, phone,
        if(is_online, 'after-order', 'in-store') as survey,
        case when happens(comment_die, .9) then nps end as nps_score,
        case when happens(reroll(comment_die, 3), .6) then csat end as csat_score,
        case
            when happens(reroll(comment_die, 7), .35) then null
            when happens(reroll(comment_die, 7), .6) then one_of(comment_die, sentences)
            when happens(reroll(comment_die, 7), .7)
                then one_of(comment_die, sentences) || chr(10) || one_of(second_die, sentences)
            else one_of(comment_die, sentences) || ' ' || one_of(second_die, sentences)
        end as comment,
        iso_utc(happened) as responded_at,
        person,
        row as _row,
        arrival(happened, late_die) as _from,
        never() as _until,
        _blank
    from answered
    order by row
"""
