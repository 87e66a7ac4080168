"""The outcomes of an incoming invoice and the reasons behind them, in the words people read."""

from __future__ import annotations

# Outcome of a document (`invoice_outcome`) → its title, and who does what next.
OUTCOMES = {
    "godkendt_automatisk": (
        "Godkendt automatisk",
        "Alle linjer svarer til det, der er bevilget. Betales ved næste betaling.",
    ),
    "godkendt": ("Godkendt", "Godkendt af en person eller efter aftalte vilkår. Betales ved næste betaling."),
    "betalt": ("Betalt", "Bogført og sendt til økonomisystemet."),
    "delvist": ("Delvist omtvistet", "De linjer, der er i orden, betales; resten er parkeret, til de er afgjort."),
    "afventer": ("Afventer afdelingen", "En person skal se på den."),
    "fejl_faktura": ("Fejl i fakturaen", "Sendes tilbage til leverandøren med en begrundelse."),
    "fejl_registrering": (
        "Fejl i registreringen",
        "Fagsystemet mangler bevillingen, eller dens datoer er forkerte. Ret sagen.",
    ),
    "dublet": ("Dublet", "Nummeret er modtaget før. Betales ikke."),
    "over_disponering": ("Over disponeringen", "Der er ikke så meget tilbage af det bevilgede i måneden."),
    "borger": ("Borgeren er død, flyttet eller fraværende", "Se, om bevillingen skal stoppes, eller fakturaen er forkert."),
    "afvist": ("Afvist", "Sendt tilbage til leverandøren."),
}
PAYABLE = ("godkendt_automatisk", "godkendt", "delvist")

# Reason of a line or a document → its title, and what the sender (or we) must do, as it is written to them.
REASONS = {
    "pris": (
        "Prisen er ikke den aftalte",
        "Prisen pr. enhed er en anden end den aftalte. Send en kreditnota og en ny faktura, eller aftal prisen.",
    ),
    "antal": (
        "Antallet er et andet",
        "Antallet er et andet end det, der er bevilget og registreret i perioden. Send en kreditnota og en ny faktura.",
    ),
    "fravaer": (
        "Borgeren var fraværende",
        "Borgeren var fraværende i perioden, og fraværet er ikke trukket fra. Send en kreditnota for dagene.",
    ),
    "ukendt_borger": (
        "Borgeren kendes ikke hos leverandøren",
        "Fakturaen nævner en borger eller et nummer, som leverandøren ikke har ydelser for hos os. Oplys hvem og hvad.",
    ),
    "ingen_borger": (
        "Fakturaen siger ikke, hvem den er for",
        "Linjen kan være for flere borgere. Oplys borger eller rekvisitionsnummer.",
    ),
    "modstrid": (
        "Oplysningerne modsiger hinanden",
        "Rekvisition, CPR-nummer og navn på linjen hører ikke til samme borger. Oplys hvem linjen er for.",
    ),
    "flere_mulige": ("Flere ydelser er mulige", "Linjen kan være for flere af borgerens ydelser. Vælg hvilken."),
    "over_disponering": ("Mere end der er tilbage", "Måneden er helt eller delvist faktureret og betalt før."),
    "uden_faktura": (
        "Kreditnotaen svarer ikke til en faktura",
        "Fakturaen, der krediteres, kendes ikke, er ikke i orden, eller var på mindre.",
    ),
    "doed": ("Borgeren er død", "Borgeren var død, før perioden sluttede."),
    "fraflyttet": ("Borgeren er flyttet", "Borgeren var flyttet fra kommunen, før perioden sluttede."),
    "mangler_i_sagen": (
        "Ydelsen har ingen værdi i perioden",
        "Borgeren har ydelsen, men den mangler takst, betaler eller registreringer i måneden. Ret sagen.",
    ),
    "ingen_bevilling": (
        "Ingen bevilling",
        "Borgeren har ingen bevilling hos leverandøren. Ret sagen, eller afvis fakturaen.",
    ),
    "ophoert": (
        "Ydelsen er ophørt",
        "Bevillingen sluttede, før perioden begyndte. Forlæng den i sagen, eller afvis fakturaen.",
    ),
    "ikke_begyndt": ("Ydelsen er ikke begyndt", "Bevillingen begynder efter perioden. Ret sagen, eller afvis fakturaen."),
    "tilbageholdt": ("Tilbageholdt af en person", "Ydelsen, borgeren eller leverandøren er tilbageholdt."),
    "dublet": ("Dublet", "Samme leverandør, nummer og beløb er modtaget før."),
    "nummer_brugt": (
        "Nummeret er brugt før",
        "Leverandøren har brugt nummeret på en anden faktura. Send den under et nyt nummer.",
    ),
    "valuta": ("Anden valuta", "Fakturaen er ikke i danske kroner. Send den i DKK."),
    "sum": ("Fakturaen stemmer ikke", "Linjer, moms og beløb til betaling stemmer ikke med hinanden. Send en ny."),
    "ugyldig": (
        "Fakturaen overholder ikke standarden",
        "Fakturaen bryder de regler for OIOUBL eller Peppol BIS 3, som afvisningen nævner. Ret den, og send den igen.",
    ),
    "gebyr": ("Gebyr eller rabat på hele fakturaen", "Gebyrer og rabatter skal stå på den linje, de hører til. Send en ny."),
    "moms": ("Momsen er en anden", "Momsen svarer ikke til ydelsens sats. Send en kreditnota og en ny faktura."),
    "betalt": ("Betalt", ""),
    "afvist": ("Afvist", ""),
    "omtvistet": ("Omtvistet", "Linjen er parkeret, til den er afgjort."),
}

# How a line was found to be for what it is paid for (`found_by`).
FOUND_BY = {
    "aftale": "svarer til det bevilgede",
    "ens": "nævner ingen, men svarer til netop det, der mangler en faktura",
    "kredit": "krediterer den faktura, den nævner",
    "som_faktureret": "anden pris, betales som faktureret efter vilkårene",
    "som_aftalt": "anden pris, betales som aftalt efter vilkårene",
    "person": "valgt af en person",
}
