//! Passengers: names put together from common given names and surnames, documents and contacts.
//!
//! In: a number. Out: a person. The same number always gives the same person, so a frequent flyer is a number that is
//! drawn often. Telephone numbers have an area code that is not in use, and addresses have the domains that are
//! reserved for examples.

const MEN: &[&str] = &[
    "ALEKSANDR",
    "ALEKSEY",
    "ANATOLIY",
    "ANDREY",
    "ANTON",
    "ARTEM",
    "BORIS",
    "DENIS",
    "DMITRIY",
    "EGOR",
    "EVGENIY",
    "FEDOR",
    "GENNADIY",
    "GRIGORIY",
    "IGOR",
    "ILYA",
    "IVAN",
    "KIRILL",
    "KONSTANTIN",
    "LEONID",
    "MAKSIM",
    "MIKHAIL",
    "NIKITA",
    "NIKOLAY",
    "OLEG",
    "PAVEL",
    "PETR",
    "ROMAN",
    "SERGEY",
    "STEPAN",
    "TIMUR",
    "VADIM",
    "VALERIY",
    "VASILIY",
    "VIKTOR",
    "VITALIY",
    "VLADIMIR",
    "YAROSLAV",
    "YURIY",
];

const WOMEN: &[&str] = &[
    "ALEKSANDRA",
    "ALINA",
    "ALLA",
    "ANASTASIYA",
    "ANNA",
    "ANTONINA",
    "DARYA",
    "EKATERINA",
    "ELENA",
    "ELIZAVETA",
    "EVGENIYA",
    "GALINA",
    "INNA",
    "IRINA",
    "KRISTINA",
    "KSENIYA",
    "LARISA",
    "LYUBOV",
    "LYUDMILA",
    "MARGARITA",
    "MARINA",
    "MARIYA",
    "NADEZHDA",
    "NATALYA",
    "NINA",
    "OKSANA",
    "OLGA",
    "POLINA",
    "RAISA",
    "SVETLANA",
    "TAMARA",
    "TATYANA",
    "VALENTINA",
    "VERA",
    "VIKTORIYA",
    "YANA",
    "YULIYA",
    "ZINAIDA",
    "ZOYA",
];

/// Surnames in the form of men; the form of women adds an A.
const SURNAMES: &[&str] = &[
    "ALEKSEEV",
    "ANDREEV",
    "ANTONOV",
    "BARANOV",
    "BELOV",
    "BOGDANOV",
    "BORISOV",
    "DANILOV",
    "DAVYDOV",
    "DMITRIEV",
    "EFIMOV",
    "EGOROV",
    "FEDOROV",
    "FILIPPOV",
    "FOMIN",
    "FROLOV",
    "GERASIMOV",
    "GRIGOREV",
    "GUSEV",
    "ILIN",
    "IVANOV",
    "KALININ",
    "KARPOV",
    "KISELEV",
    "KOMAROV",
    "KONOVALOV",
    "KOROLEV",
    "KOVALEV",
    "KOZLOV",
    "KRYLOV",
    "KUZMIN",
    "KUZNETSOV",
    "LEBEDEV",
    "MAKAROV",
    "MAKSIMOV",
    "MARKOV",
    "MARTYNOV",
    "MATVEEV",
    "MEDVEDEV",
    "MELNIKOV",
    "MIRONOV",
    "MOROZOV",
    "NIKITIN",
    "NIKOLAEV",
    "NOVIKOV",
    "ORLOV",
    "OSIPOV",
    "PAVLOV",
    "PETROV",
    "POLYAKOV",
    "POPOV",
    "PROKHOROV",
    "ROMANOV",
    "RODIONOV",
    "SAVELEV",
    "SEMENOV",
    "SERGEEV",
    "SHCHERBAKOV",
    "SIDOROV",
    "SMIRNOV",
    "SOKOLOV",
    "SOLOVEV",
    "SOROKIN",
    "STEPANOV",
    "TARASOV",
    "TIKHONOV",
    "TIMOFEEV",
    "TITOV",
    "VASILEV",
    "VINOGRADOV",
    "VLASOV",
    "VOLKOV",
    "VOROBEV",
    "VORONIN",
    "YAKOVLEV",
    "ZAITSEV",
    "ZAKHAROV",
    "ZHUKOV",
    "ZHURAVLEV",
];

/// Domains that RFC 2606 keeps for examples.
const DOMAINS: &[&str] = &["example.com", "example.org", "example.net"];

/// Document numbers have ten digits.
const DOCUMENT_COUNT: u64 = 10_000_000_000;

/// Odd and no multiple of five, so multiplying by it permutes the document numbers.
const DOCUMENT_STRIDE: u64 = 3_141_592_653;

/// A passenger. The number decides everything about the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Person(pub(crate) u64);

impl Person {
    /// The identity document: four digits, a space, six digits. Two people below ten thousand million never share one.
    pub(crate) fn document(self) -> String {
        let permuted = u128::from(self.0 % DOCUMENT_COUNT) * u128::from(DOCUMENT_STRIDE);
        let digits = format!("{:010}", permuted % u128::from(DOCUMENT_COUNT));
        format!("{} {}", &digits[..4], &digits[4..])
    }

    /// Given name and surname in upper case, as on a ticket.
    pub(crate) fn name(self) -> String {
        let (given, surname, feminine) = self.parts();
        let ending = if feminine { "A" } else { "" };
        format!("{given} {surname}{ending}")
    }

    /// The contact column as JSON text. One person in forty has none.
    pub(crate) fn contact(self) -> Option<String> {
        let draw = self.scatter(3);
        if draw.is_multiple_of(40) {
            return None;
        }
        let phone = format!("+7000{:07}", draw % 10_000_000);
        if draw.is_multiple_of(3) {
            return Some(format!(r#"{{"phone": "{phone}"}}"#));
        }
        Some(format!(r#"{{"email": "{}", "phone": "{phone}"}}"#, self.email(0)))
    }

    /// An address of the person; each change of address counts one further.
    pub(crate) fn email(self, change: u64) -> String {
        let (given, surname, _) = self.parts();
        let number = self.scatter(4 + change) % 1_000;
        let domain = pick(DOMAINS, self.scatter(5 + change));
        format!("{}.{}{number}@{domain}", given.to_lowercase(), surname.to_lowercase())
    }

    fn parts(self) -> (&'static str, &'static str, bool) {
        let feminine = self.scatter(0).is_multiple_of(2);
        let given = pick(if feminine { WOMEN } else { MEN }, self.scatter(1));
        (given, pick(SURNAMES, self.scatter(2)), feminine)
    }

    /// A well-mixed number for one trait of the person (SplitMix64's finaliser).
    fn scatter(self, trait_no: u64) -> u64 {
        let mut mixed = self
            .0
            .wrapping_add(trait_no.wrapping_mul(0xD1B5_4A32_D192_ED03))
            .wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

fn pick<'list>(list: &[&'list str], draw: u64) -> &'list str {
    let len = u64::try_from(list.len()).expect("a table of names fits u64");
    let place = usize::try_from(draw % len).expect("a place in a table fits usize");
    list[place]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Person;

    #[test]
    fn documents_differ_between_people() {
        let documents: HashSet<_> = (0..20_000).map(|number| Person(number).document()).collect();
        assert_eq!(documents.len(), 20_000);
        assert!(documents.iter().all(|document| document.len() == 11));
    }

    #[test]
    fn contacts_are_json_or_absent() {
        let contacts: Vec<_> = (0..2_000).map(|number| Person(number).contact()).collect();
        assert!(contacts.iter().any(Option::is_none));
        for text in contacts.into_iter().flatten() {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(value["phone"].as_str().unwrap().starts_with("+7000"));
        }
    }

    #[test]
    fn one_number_is_one_person() {
        assert_eq!(Person(7).name(), Person(7).name());
        assert_ne!(Person(7).email(0), Person(7).email(1));
    }
}
