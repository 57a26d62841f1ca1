//! The airports of the network: Russian airports with their coordinates.
//!
//! Out: a constant table and the great-circle distance. The first three are the hubs. The others follow by decreasing
//! weight, so that a small network serves the busiest places.

/// How many airports at the start of the table are hubs.
pub(crate) const HUB_COUNT: usize = 3;

/// An airport as the table `airports` holds it, and how many people want to fly there.
pub(crate) struct Airport {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) city: &'static str,
    pub(crate) longitude: f64,
    pub(crate) latitude: f64,
    pub(crate) timezone: &'static str,
    /// Share of the demand, relative to the others: 1 is a small town, 20 the capital's main airport.
    pub(crate) weight: u32,
}

const fn airport(names: [&'static str; 4], longitude: f64, latitude: f64, weight: u32) -> Airport {
    let [code, name, city, timezone] = names;
    Airport { code, name, city, longitude, latitude, timezone, weight }
}

/// All airports, hubs first.
pub(crate) const AIRPORTS: &[Airport] = &[
    airport(["SVO", "Sheremetyevo", "Moscow", "Europe/Moscow"], 37.4146, 55.9726, 20),
    airport(["LED", "Pulkovo", "Saint Petersburg", "Europe/Moscow"], 30.2625, 59.8003, 12),
    airport(["OVB", "Tolmachevo", "Novosibirsk", "Asia/Novosibirsk"], 82.6507, 55.0126, 8),
    airport(["DME", "Domodedovo", "Moscow", "Europe/Moscow"], 37.9063, 55.4088, 9),
    airport(["VKO", "Vnukovo", "Moscow", "Europe/Moscow"], 37.2615, 55.5915, 9),
    airport(["AER", "Sochi", "Sochi", "Europe/Moscow"], 39.9566, 43.4499, 9),
    airport(["SVX", "Koltsovo", "Yekaterinburg", "Asia/Yekaterinburg"], 60.8027, 56.7431, 8),
    airport(["KZN", "Kazan", "Kazan", "Europe/Moscow"], 49.2787, 55.6062, 6),
    airport(["KRR", "Pashkovsky", "Krasnodar", "Europe/Moscow"], 39.1705, 45.0347, 6),
    airport(["UFA", "Ufa", "Ufa", "Asia/Yekaterinburg"], 55.8744, 54.5575, 5),
    airport(["KUF", "Kurumoch", "Samara", "Europe/Samara"], 50.1643, 53.5049, 5),
    airport(["KJA", "Yemelyanovo", "Krasnoyarsk", "Asia/Krasnoyarsk"], 92.4933, 56.1729, 5),
    airport(["VVO", "Knevichi", "Vladivostok", "Asia/Vladivostok"], 132.148, 43.399, 5),
    airport(["KHV", "Novy", "Khabarovsk", "Asia/Vladivostok"], 135.188, 48.528, 5),
    airport(["IKT", "Irkutsk", "Irkutsk", "Asia/Irkutsk"], 104.389, 52.268, 5),
    airport(["KGD", "Khrabrovo", "Kaliningrad", "Europe/Kaliningrad"], 20.5926, 54.89, 5),
    airport(["MRV", "Mineralnye Vody", "Mineralnye Vody", "Europe/Moscow"], 43.0819, 44.2251, 5),
    airport(["TJM", "Roshchino", "Tyumen", "Asia/Yekaterinburg"], 65.3243, 57.1896, 5),
    airport(["CEK", "Balandino", "Chelyabinsk", "Asia/Yekaterinburg"], 61.5033, 55.3058, 4),
    airport(["PEE", "Bolshoye Savino", "Perm", "Asia/Yekaterinburg"], 56.0212, 57.9145, 4),
    airport(["GOJ", "Strigino", "Nizhny Novgorod", "Europe/Moscow"], 43.784, 56.2301, 4),
    airport(["OMS", "Tsentralny", "Omsk", "Asia/Omsk"], 73.3105, 54.967, 4),
    airport(["VOG", "Gumrak", "Volgograd", "Europe/Volgograd"], 44.3455, 48.7825, 4),
    airport(["SGC", "Surgut", "Surgut", "Asia/Yekaterinburg"], 73.4018, 61.3437, 4),
    airport(["YKS", "Yakutsk", "Yakutsk", "Asia/Yakutsk"], 129.771, 62.0933, 4),
    airport(["MCX", "Uytash", "Makhachkala", "Europe/Moscow"], 47.6523, 42.8168, 4),
    airport(["UUS", "Khomutovo", "Yuzhno-Sakhalinsk", "Asia/Sakhalin"], 142.718, 46.8887, 3),
    airport(["PKC", "Yelizovo", "Petropavlovsk-Kamchatsky", "Asia/Kamchatka"], 158.454, 53.1679, 3),
    airport(["MMK", "Murmansk", "Murmansk", "Europe/Moscow"], 32.7508, 68.7817, 3),
    airport(["ARH", "Talagi", "Arkhangelsk", "Europe/Moscow"], 40.7168, 64.6003, 3),
    airport(["NUX", "Novy Urengoy", "Novy Urengoy", "Asia/Yekaterinburg"], 76.5203, 66.0694, 3),
    airport(
        ["HMA", "Khanty-Mansiysk", "Khanty-Mansiysk", "Asia/Yekaterinburg"],
        69.0861,
        61.0285,
        3,
    ),
    airport(["NJC", "Nizhnevartovsk", "Nizhnevartovsk", "Asia/Yekaterinburg"], 76.4836, 60.9493, 3),
    airport(["BAX", "Barnaul", "Barnaul", "Asia/Barnaul"], 83.5385, 53.3638, 3),
    airport(["TOF", "Bogashevo", "Tomsk", "Asia/Tomsk"], 85.2083, 56.3803, 3),
    airport(["KEJ", "Kemerovo", "Kemerovo", "Asia/Novokuznetsk"], 86.1072, 55.2701, 3),
    airport(["HTA", "Kadala", "Chita", "Asia/Chita"], 113.306, 52.0263, 3),
    airport(["UUD", "Baikal", "Ulan-Ude", "Asia/Irkutsk"], 107.438, 51.8078, 3),
    airport(["BQS", "Ignatyevo", "Blagoveshchensk", "Asia/Yakutsk"], 127.412, 50.4254, 3),
    airport(["GDX", "Sokol", "Magadan", "Asia/Magadan"], 150.72, 59.911, 3),
    airport(["ASF", "Narimanovo", "Astrakhan", "Europe/Astrakhan"], 48.0063, 46.2833, 3),
    airport(["GSV", "Gagarin", "Saratov", "Europe/Saratov"], 46.1717, 51.7128, 3),
    airport(["NOZ", "Spichenkovo", "Novokuznetsk", "Asia/Novokuznetsk"], 86.8772, 53.8114, 2),
    airport(["OGZ", "Beslan", "Vladikavkaz", "Europe/Moscow"], 44.6066, 43.2051, 2),
    airport(["GRV", "Severny", "Grozny", "Europe/Moscow"], 45.7841, 43.3881, 2),
    airport(["NAL", "Nalchik", "Nalchik", "Europe/Moscow"], 43.6366, 43.5129, 2),
    airport(["STW", "Shpakovskoye", "Stavropol", "Europe/Moscow"], 42.1128, 45.1092, 2),
    airport(["AAQ", "Vityazevo", "Anapa", "Europe/Moscow"], 37.3473, 45.0021, 2),
    airport(["GDZ", "Gelendzhik", "Gelendzhik", "Europe/Moscow"], 38.0125, 44.5821, 2),
    airport(["EGO", "Belgorod", "Belgorod", "Europe/Moscow"], 36.5901, 50.6438, 2),
    airport(["VOZ", "Chertovitskoye", "Voronezh", "Europe/Moscow"], 39.2296, 51.8142, 2),
    airport(["PEZ", "Ternovka", "Penza", "Europe/Moscow"], 45.0211, 53.1106, 2),
    airport(["ULV", "Baratayevka", "Ulyanovsk", "Europe/Ulyanovsk"], 48.2267, 54.2683, 2),
    airport(["CSY", "Cheboksary", "Cheboksary", "Europe/Moscow"], 47.3473, 56.0903, 2),
    airport(["IJK", "Izhevsk", "Izhevsk", "Europe/Samara"], 53.4575, 56.8281, 2),
    airport(["KVX", "Pobedilovo", "Kirov", "Europe/Kirov"], 49.3483, 58.5033, 2),
    airport(["NBC", "Begishevo", "Nizhnekamsk", "Europe/Moscow"], 52.0925, 55.5647, 2),
    airport(["REN", "Orenburg", "Orenburg", "Asia/Yekaterinburg"], 55.4567, 51.7958, 2),
    airport(["MQF", "Magnitogorsk", "Magnitogorsk", "Asia/Yekaterinburg"], 58.7557, 53.3931, 2),
    airport(["SCW", "Syktyvkar", "Syktyvkar", "Europe/Moscow"], 50.8451, 61.647, 2),
    airport(["ABA", "Abakan", "Abakan", "Asia/Krasnoyarsk"], 91.385, 53.74, 2),
    airport(["NSK", "Alykel", "Norilsk", "Asia/Krasnoyarsk"], 87.3322, 69.3111, 2),
    airport(["LPK", "Lipetsk", "Lipetsk", "Europe/Moscow"], 39.5378, 52.7028, 1),
    airport(["TBW", "Donskoye", "Tambov", "Europe/Moscow"], 41.4828, 52.8061, 1),
    airport(["ULY", "Vostochny", "Ulyanovsk", "Europe/Ulyanovsk"], 48.8027, 54.401, 1),
    airport(["JOK", "Yoshkar-Ola", "Yoshkar-Ola", "Europe/Moscow"], 47.9047, 56.7006, 1),
    airport(["SKX", "Saransk", "Saransk", "Europe/Moscow"], 45.2123, 54.1251, 1),
    airport(["UUA", "Bugulma", "Bugulma", "Europe/Moscow"], 52.8017, 54.64, 1),
    airport(["OSW", "Orsk", "Orsk", "Asia/Yekaterinburg"], 58.5956, 51.0725, 1),
    airport(["KRO", "Kurgan", "Kurgan", "Asia/Yekaterinburg"], 65.4156, 55.4753, 1),
    airport(["KLF", "Grabtsevo", "Kaluga", "Europe/Moscow"], 36.3667, 54.55, 1),
    airport(["BZK", "Bryansk", "Bryansk", "Europe/Moscow"], 34.1764, 53.2142, 1),
    airport(["URS", "Vostochny", "Kursk", "Europe/Moscow"], 36.2956, 51.7506, 1),
    airport(["IWA", "Yuzhny", "Ivanovo", "Europe/Moscow"], 40.9408, 56.9394, 1),
    airport(["IAR", "Tunoshna", "Yaroslavl", "Europe/Moscow"], 40.1574, 57.5607, 1),
    airport(["CEE", "Cherepovets", "Cherepovets", "Europe/Moscow"], 38.0158, 59.2736, 1),
    airport(["VGD", "Vologda", "Vologda", "Europe/Moscow"], 39.9444, 59.2825, 1),
    airport(["PKV", "Pskov", "Pskov", "Europe/Moscow"], 28.3956, 57.7839, 1),
    airport(["PES", "Besovets", "Petrozavodsk", "Europe/Moscow"], 34.1547, 61.8852, 1),
    airport(["KVK", "Khibiny", "Apatity", "Europe/Moscow"], 33.5833, 67.4633, 1),
    airport(["NNM", "Naryan-Mar", "Naryan-Mar", "Europe/Moscow"], 53.1219, 67.64, 1),
    airport(["UCT", "Ukhta", "Ukhta", "Europe/Moscow"], 53.8047, 63.5669, 1),
    airport(["USK", "Usinsk", "Usinsk", "Europe/Moscow"], 57.3672, 66.0047, 1),
    airport(["VKT", "Vorkuta", "Vorkuta", "Europe/Moscow"], 63.9931, 67.4886, 1),
    airport(["SLY", "Salekhard", "Salekhard", "Asia/Yekaterinburg"], 66.611, 66.5908, 1),
    airport(["NYM", "Nadym", "Nadym", "Asia/Yekaterinburg"], 72.6989, 65.4809, 1),
    airport(["NOJ", "Noyabrsk", "Noyabrsk", "Asia/Yekaterinburg"], 75.27, 63.1833, 1),
    airport(["NYA", "Nyagan", "Nyagan", "Asia/Yekaterinburg"], 65.615, 62.11, 1),
    airport(["OVS", "Sovetsky", "Sovetsky", "Asia/Yekaterinburg"], 63.6019, 61.3266, 1),
    airport(["KGP", "Kogalym", "Kogalym", "Asia/Yekaterinburg"], 74.5338, 62.1904, 1),
    airport(["URJ", "Uray", "Uray", "Asia/Yekaterinburg"], 64.8267, 60.1033, 1),
    airport(["RGK", "Gorno-Altaysk", "Gorno-Altaysk", "Asia/Barnaul"], 85.8333, 51.9667, 1),
    airport(["KYZ", "Kyzyl", "Kyzyl", "Asia/Krasnoyarsk"], 94.4006, 51.6694, 1),
    airport(["BTK", "Bratsk", "Bratsk", "Asia/Irkutsk"], 101.698, 56.3706, 1),
    airport(["UIK", "Ust-Ilimsk", "Ust-Ilimsk", "Asia/Irkutsk"], 102.565, 58.1361, 1),
    airport(["MJZ", "Mirny", "Mirny", "Asia/Yakutsk"], 114.039, 62.5347, 1),
    airport(["PYJ", "Polyarny", "Udachny", "Asia/Yakutsk"], 112.03, 66.4004, 1),
    airport(["CNN", "Chulman", "Neryungri", "Asia/Yakutsk"], 124.914, 56.9139, 1),
    airport(["DYR", "Ugolny", "Anadyr", "Asia/Anadyr"], 177.741, 64.7349, 1),
    airport(["KXK", "Khurba", "Komsomolsk-on-Amur", "Asia/Vladivostok"], 136.934, 50.409, 1),
    airport(["ESL", "Elista", "Elista", "Europe/Moscow"], 44.3309, 46.3739, 1),
    airport(["SWT", "Strezhevoy", "Strezhevoy", "Asia/Tomsk"], 77.66, 60.7094, 1),
    airport(["EIE", "Yeniseysk", "Yeniseysk", "Asia/Krasnoyarsk"], 92.1125, 58.4742, 1),
    airport(["IGT", "Magas", "Magas", "Europe/Moscow"], 45.0126, 43.3223, 1),
];

/// Kilometres between two airports over the sphere.
pub(crate) fn distance_km(from: &Airport, to: &Airport) -> f64 {
    const EARTH_RADIUS_KM: f64 = 6371.0;
    let half_latitude = (to.latitude - from.latitude).to_radians() / 2.0;
    let half_longitude = (to.longitude - from.longitude).to_radians() / 2.0;
    let chord = half_latitude.sin().powi(2)
        + from.latitude.to_radians().cos()
            * to.latitude.to_radians().cos()
            * half_longitude.sin().powi(2);
    2.0 * EARTH_RADIUS_KM * chord.sqrt().asin()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{AIRPORTS, HUB_COUNT, distance_km};

    #[test]
    fn codes_are_unique_and_three_letters_long() {
        let codes: HashSet<_> = AIRPORTS.iter().map(|airport| airport.code).collect();
        assert_eq!(codes.len(), AIRPORTS.len());
        assert!(AIRPORTS.len() >= 60);
        assert!(codes.iter().all(|code| code.len() == 3));
    }

    #[test]
    fn busier_airports_come_first_after_the_hubs() {
        assert!(AIRPORTS[HUB_COUNT..].windows(2).all(|pair| pair[0].weight >= pair[1].weight));
    }

    #[test]
    fn moscow_to_saint_petersburg_is_about_600_km() {
        let distance = distance_km(&AIRPORTS[0], &AIRPORTS[1]);
        assert!((590.0..650.0).contains(&distance), "{distance}");
    }
}
