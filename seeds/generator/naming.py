"""How people are called: names with their frequencies, nicknames, and a long tail of surnames.

English names have the frequencies of the US census (package `names`). The other languages have
their best-known names by hand, ranked; surnames get a long tail by compounding syllables, the way
those languages made them, so that a big world does not run out of families.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import names
import numpy as np
from nicknames import NickNamer

from seeds.generator.world import Floats

# language: (women, men, surnames in order of rank, beginnings of a surname, endings of a surname)
_NAMES = {
    "de": (
        "Anna Maria Ursula Sabine Petra Monika Julia Susanne Katharina Renate Laura Lena Sarah "
        "Christine Andrea Claudia Birgit Karin Nicole Stefanie Gabriele Brigitte Heike Martina "
        "Anja Barbara Silke Jutta Lea Johanna Marie Sophie Elisabeth Franziska Melanie Sandra "
        "Tanja Ingrid Helga Hannah Käthe Jana Antje Kerstin Ulrike Bärbel Nina Greta Mia Emma",
        "Thomas Michael Andreas Peter Stefan Christian Martin Wolfgang Klaus Jürgen Alexander "
        "Daniel Markus Frank Bernd Matthias Jan Sebastian Tobias Florian Hans Werner Dieter Uwe "
        "Ralf Jörg Lukas Felix Maximilian Paul Jonas Karl Heinz Günter Manfred Helmut Rolf Sven "
        "Björn Philipp Fabian Dirk Holger Rainer Johannes Friedrich Wilhelm Leon Ludwig Götz",
        "Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch "
        "Bauer Richter Klein Wolf Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann "
        "Hartmann Lange Schmitt Werner Krause Meier Lehmann Schmid Schulze Maier Köhler Herrmann "
        "König Walter Mayer Huber Kaiser Fuchs Peters Lang Scholz Möller Weiß Jung Hahn Schubert "
        "Vogel Friedrich Keller Günther Frank Berger Winkler Roth Beck Lorenz Baumann Franke "
        "Albrecht Schuster Simon Ludwig Böhm Winter Kraus Martin Schumacher Krämer Vogt Stein "
        "Jäger Otto Sommer Groß Seidel Heinrich Brandt Haas Schreiber Graf Schulte Dietrich "
        "Ziegler Kuhn Kühn Pohl Engel Horn Busch Bergmann Thomas Voigt Sauer Arnold Wolff Pfeiffer",
        "Ober Nieder Neu Alt Stein Berg Wald Lind Grün Roth Weiß Schwarz Eich Buch Birken Rosen "
        "Kirch Brunn Feld Kalt Lang Kurz Hohen Tief Sonn Winter Reich Ehren Gold Silber Eisen "
        "Acker Bach Brück Burg Dorf Hirsch Fuchs Wolf Adler Mühl Schön Wiesen Diete Hage Lohm",
        "mann meier bauer berg feld hoff bach müller er hauser dorf wald ing stein inger brecht "
        "ke ler hardt hammer reuter brandt lein heimer ner eck thal bring",
    ),
    "fr": (
        "Marie Nathalie Isabelle Sylvie Catherine Françoise Valérie Christine Monique Sophie "
        "Patricia Martine Nicole Sandrine Stéphanie Céline Julie Aurélie Caroline Laurence Émilie "
        "Claire Anne Camille Laura Léa Manon Chloé Emma Élodie Hélène Véronique Brigitte Jeanne "
        "Pauline Lucie Marion Audrey Delphine Agnès Inès Mélanie Virginie Zoé Éloïse Océane",
        "Jean Pierre Michel Philippe Alain Nicolas Patrick Christophe Christian Daniel Bernard "
        "Éric Frédéric Laurent Stéphane Pascal David Gérard Julien Olivier Sébastien Thierry "
        "Alexandre Thomas Bruno Didier Dominique François Vincent Antoine Hugo Lucas Maxime "
        "Jérôme Guillaume Benoît Rémi Clément Mathieu Luc Jean-Pierre Jean-Luc Étienne André René",
        "Martin Bernard Thomas Petit Robert Richard Durand Dubois Moreau Laurent Simon Michel "
        "Lefebvre Leroy Roux David Bertrand Morel Fournier Girard Bonnet Dupont Lambert Fontaine "
        "Rousseau Vincent Muller Lefèvre Faure André Mercier Blanc Guérin Boyer Garnier Chevalier "
        "François Legrand Gauthier Garcia Perrin Robin Clément Morin Nicolas Henry Roussel "
        "Mathieu Gautier Masson Marchand Duval Denis Dumont Marie Lemaire Noël Meyer Dufour "
        "Meunier Brun Blanchard Giraud Joly Rivière Lucas Brunet Gaillard Barbier Arnaud Martínez "
        "Gérard Roche Renard Schmitt Roy Leroux Colin Vidal Caron Picard Roger Fabre Aubert",
        "Beau Mont Char Per Gir Bon Mar Dub Cour Gau Pou Blan Fou Bou Cha Del Des Font Gran Le "
        "Mou Nor Pel Rou Sar Tou Val Ver Vil Cor Bar Lan Bri Cler Dor Fer Jac Lam Mer Pas",
        "eau ard ier in ot et on elle aud eux ault ange ay ières tin nier let bert quet cier "
        "deau gnon lin neau toux val zier",
    ),
    "nl": (
        "Maria Johanna Anna Sanne Lisa Emma Sophie Julia Eva Anouk Femke Marieke Ingrid Petra "
        "Esther Monique Linda Saskia Willemijn Hanneke Els Ria Tessa Lotte Fleur Iris Daphne "
        "Annelies Wilma Noor Roos Mieke Carla Zoë",
        "Johannes Jan Pieter Cornelis Hendrik Willem Daan Sem Bram Thomas Jeroen Mark Peter Rob "
        "Erik Bas Tim Lars Ruben Sander Martijn Dennis Henk Kees Gerrit Wouter Joost Maarten Koen "
        "Niels Stijn Thijs Ruud Arjen",
        "de_Jong Jansen de_Vries van_den_Berg van_Dijk Bakker Janssen Visser Smit Meijer de_Boer "
        "Mulder de_Groot Bos Vos Peters Hendriks van_Leeuwen Dekker Brouwer de_Wit Dijkstra Smits "
        "de_Graaf van_der_Meer van_der_Linden Kok Jacobs de_Haan Vermeulen van_den_Heuvel "
        "van_der_Veen van_den_Broek de_Bruijn van_der_Heijden Schouten van_Beek Willems Hoekstra "
        "Maas Verhoeven Koster Prins Blom Huisman Peeters Kuipers van_Vliet",
        "van_ van_der_ van_den_ de_ ter_ Van_ Oude Nieuw Groen Hoog Klein Oost West Zand Water",
        "Molen Kerk Heide Velden Bosch Brink Horst Kamp Laan Poel Wal Zee Ham Hoek Werf Plas Dam "
        "Burg Berge Steen Linde Eijk Wetering Hoeve Pol Straten Voort Weide",
    ),
    "es": (
        "María Carmen Ana Isabel Laura Cristina Marta Lucía Elena Pilar Dolores Paula Raquel Sara "
        "Mercedes Rosa Teresa Beatriz Silvia Julia Sofía Patricia Alba Rocío Andrea Inés Nuria "
        "Mónica Ángela Begoña María_José María_Carmen Irene Concepción",
        "Antonio José Manuel Francisco David Juan Javier Daniel Carlos Jesús Alejandro Miguel "
        "Rafael Pedro Pablo Ángel Sergio Fernando Luis Jorge Alberto Álvaro Diego Adrián Raúl "
        "Iván Rubén Óscar Andrés Ramón Enrique Víctor José_Luis Juan_Carlos Joaquín Hugo",
        "García Rodríguez González Fernández López Martínez Sánchez Pérez Gómez Martín Jiménez "
        "Hernández Ruiz Díaz Moreno Muñoz Álvarez Romero Gutiérrez Alonso Navarro Torres Domínguez "
        "Ramos Vázquez Ramírez Gil Serrano Morales Molina Blanco Suárez Castro Ortega Delgado "
        "Ortiz Marín Rubio Núñez Medina Sanz Castillo Iglesias Cortés Garrido Santos Guerrero "
        "Lozano Cano Cruz Méndez Flores Prieto Herrera Peña León Márquez Cabrera Gallego Calvo "
        "Vidal Campos Reyes Vega Fuentes Carrasco Aguilar Nieto Pascual Vargas Peñalver",
        "Al Bar Cal Cas Cor Del Es Fer Gal Her Lor Mar Mon Mor Nav Ol Pal Pe Quin Ri Sal San Tor "
        "Val Ver Vil Zam Arre Bel Ca",
        "ares eda ero illo itos ona ueña edo ino ado enas era ona iente alva osa idad arro ellas",
    ),
    "pl": (
        "Anna Maria Katarzyna Małgorzata Agnieszka Barbara Ewa Krystyna Elżbieta Magdalena Joanna "
        "Zofia Julia Aleksandra Monika Teresa Danuta Natalia Karolina Marta Beata Dorota Jadwiga "
        "Alicja Hanna Paulina Justyna Renata Łucja Grażyna Wiktoria Zuzanna",
        "Piotr Krzysztof Andrzej Tomasz Jan Paweł Michał Marcin Jakub Adam Stanisław Marek Łukasz "
        "Grzegorz Mateusz Wojciech Mariusz Dariusz Zbigniew Jerzy Maciej Rafał Robert Kamil Jacek "
        "Józef Ryszard Kacper Szymon Sławomir Tadeusz Filip Bartosz Władysław",
        "Nowak Kowalski Wiśniewski Wójcik Kowalczyk Kamiński Lewandowski Zieliński Szymański "
        "Woźniak Dąbrowski Kozłowski Mazur Jankowski Kwiatkowski Wojciechowski Krawczyk "
        "Kaczmarek Piotrowski Grabowski Zając Pawłowski Michalski Król Wieczorek Jabłoński "
        "Wróbel Nowakowski Majewski Olszewski Stępień Malinowski Jaworski Adamczyk Dudek Nowicki "
        "Pawlak Górski Witkowski Walczak Sikora Baran Rutkowski Michalak Szewczyk Ostrowski "
        "Tomaszewski Pietrzak Zalewski Wróblewski",
        "Bor Brzez Chmiel Czar Dobr Glin Gór Jan Kal Kos Krak Lip Łuk Maj Mar Ols Orł Pol Rad Rog "
        "Sad Sobol Tar Urb Wil Wysoc Zab Zaw Żur Ław",
        "owski ewski iński icki czyk ak ek czak aszewski ewicz owicz ka acki ański",
    ),
    "sv": (
        "Anna Maria Eva Kristina Birgitta Karin Elisabeth Margareta Sara Linnea Emma Ingrid Lena "
        "Åsa Malin Jenny Johanna Hanna Sofia Elin Frida Annika Ulla Gunilla Alva Märta Moa Ebba",
        "Erik Lars Karl Anders Johan Per Nils Mikael Jan Gustav Hans Peter Lennart Olof Fredrik "
        "Sven Bengt Bo Åke Göran Magnus Mats Oskar William Elias Björn Jörgen Håkan Axel Linus",
        "Andersson Johansson Karlsson Nilsson Eriksson Larsson Olsson Persson Svensson Gustafsson "
        "Pettersson Jonsson Jansson Hansson Bengtsson Jönsson Lindberg Jakobsson Magnusson "
        "Olofsson Lindström Lindqvist Lindgren Axelsson Berg Bergström Lundberg Lind Lundgren "
        "Lundqvist Mattsson Berglund Fredriksson Sandberg Henriksson Forsberg Sjöberg Wallin",
        "Lind Lund Berg Sand Fors Sjö Ek Björk Gran Hag Holm Ny Norr Söder Väster Öst Ström Strand "
        "Hed Ahl Blom Dahl Eng Falk Hall Hög Kron Malm Ros Sund Wall Åker",
        "berg qvist ström lund gren dahl man blad mark in ell sson stedt borg holm",
    ),
}

_LOCAL_NICKNAMES = {
    "Johannes": "Hans,Hannes",
    "Wilhelm": "Willi",
    "Maximilian": "Max",
    "Alexander": "Alex",
    "Sebastian": "Basti",
    "Katharina": "Kathi,Katja",
    "Elisabeth": "Lisa,Sissi",
    "Stefanie": "Steffi",
    "Susanne": "Susi",
    "Gabriele": "Gabi",
    "Brigitte": "Gitti",
    "Michael": "Michi,Mike",
    "Andreas": "Andi",
    "Günter": "Günni",
    "Friedrich": "Fritz",
    "Jean-Pierre": "JP",
    "Frédéric": "Fred",
    "Stéphane": "Steph",
    "Alexandre": "Alex",
    "Catherine": "Cathy",
    "Isabelle": "Isa",
    "Willemijn": "Mijntje",
    "Cornelis": "Kees,Cor",
    "Hendrik": "Henk,Rik",
    "Willem": "Wim",
    "Pieter": "Piet",
    "Francisco": "Paco,Fran",
    "José": "Pepe",
    "Manuel": "Manolo",
    "Dolores": "Lola",
    "Concepción": "Concha",
    "Mercedes": "Merche",
    "Ignacio": "Nacho",
    "Katarzyna": "Kasia",
    "Małgorzata": "Gosia",
    "Agnieszka": "Aga",
    "Elżbieta": "Ela",
    "Joanna": "Asia",
    "Aleksandra": "Ola",
    "Krzysztof": "Krzysiek",
    "Tomasz": "Tomek",
    "Jakub": "Kuba",
    "Stanisław": "Staszek",
    "Margareta": "Greta",
    "Birgitta": "Gitta",
    "Gustav": "Gösta",
    "Lars": "Lasse",
    "Mikael": "Micke",
}


@dataclass(frozen=True)
class NamePool:
    """All names of the world once, and for each language how often each one occurs there.

    women, men, surnames: language → weight per position of `first_names` or `last_names`.
    """

    first_names: list[str]
    nicknames: list[str]
    last_names: list[str]
    women: dict[str, Floats]
    men: dict[str, Floats]
    surnames: dict[str, Floats]


def _census(kind: str) -> dict[str, float]:
    """Name → percent of people, as the US census counted."""
    lines = Path(names.full_path(f"dist.{kind}")).read_text(encoding="ascii").splitlines()
    return {name.title(): float(share) for name, share, *_ in (line.split() for line in lines)}


def _ranked(listed: list[str], share: float) -> dict[str, float]:
    """Weights that fall off with the rank and sum to `share`."""
    weights = (np.arange(len(listed)) + 4.0) ** -0.8
    return dict(zip(listed, (share * weights / weights.sum()).tolist(), strict=True))


def _blend(*parts: dict[str, float]) -> dict[str, float]:
    mixed: dict[str, float] = {}
    for part in parts:
        for name, weight in part.items():
            mixed[name] = mixed.get(name, 0.0) + weight
    return mixed


def _scaled(weights: dict[str, float], share: float) -> dict[str, float]:
    total = sum(weights.values())
    return {name: share * weight / total for name, weight in weights.items()}


def _compounds(beginnings: str, endings: str) -> list[str]:
    """Every beginning with every ending, the pairs in an order that mixes both."""
    firsts, lasts = beginnings.split(), endings.split()
    pairs = sorted(
        product(range(len(firsts)), range(len(lasts))), key=lambda p: (sum(p) % 7, sum(p), p)
    )
    return [
        firsts[i].replace("_", " ") + (lasts[j] if "_" in firsts[i] else lasts[j].lower())
        for i, j in pairs
    ]


def _listed(text: str) -> list[str]:
    return [name.replace("_", " ") for name in text.split()]


@cache
def name_pool() -> NamePool:
    """Build the names of all languages."""
    census_women, census_men = _census("female.first"), _census("male.first")
    census_last = _census("all.last")
    women, men, surnames = {"en": census_women}, {"en": census_men}, {"en": census_last}
    for language, (female, male, last, beginnings, endings) in _NAMES.items():
        # every land has some people whose names come from elsewhere
        women[language] = _blend(_ranked(_listed(female), 0.93), _scaled(census_women, 0.07))
        men[language] = _blend(_ranked(_listed(male), 0.93), _scaled(census_men, 0.07))
        surnames[language] = _blend(
            _ranked(_listed(last), 0.5),
            _ranked(_compounds(beginnings, endings), 0.42),
            _scaled(census_last, 0.08),
        )
    first_names = sorted({n for pool in (*women.values(), *men.values()) for n in pool})
    last_names = sorted({n for pool in surnames.values() for n in pool})
    return NamePool(
        first_names,
        _nicknames(first_names),
        last_names,
        {language: _weights(first_names, pool) for language, pool in women.items()},
        {language: _weights(first_names, pool) for language, pool in men.items()},
        {language: _weights(last_names, pool) for language, pool in surnames.items()},
    )


def _weights(listed: list[str], pool: dict[str, float]) -> Floats:
    return np.array([pool.get(name, 0.0) for name in listed])


def _nicknames(first_names: list[str]) -> list[str]:
    """For each first name its short forms joined by commas, or nothing."""
    namer = NickNamer()
    return [
        _LOCAL_NICKNAMES.get(name)
        or ",".join(n.title() for n in sorted(namer.nicknames_of(name)) if len(n) > 1)
        for name in first_names
    ]
