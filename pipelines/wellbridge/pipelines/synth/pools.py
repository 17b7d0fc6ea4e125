"""Names of many children: common ones of several home languages by rank, and a long tail that is made up.

Compiled here by hand from names anybody in a United States school knows; the tail is put together of syllables. How
often a name occurs falls with its rank by the law of Zipf and Mandelbrot, 1/(rank + q)^s, so that large districts
have both thousands of Smiths and tens of thousands of names held by one family.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

LANGUAGES: Final = ("en", "es", "vi", "ar", "zh", "so")  # ISO 639-1, the home language
LANGUAGE_SHARES: Final = (0.70, 0.20, 0.03, 0.03, 0.02, 0.02)

_GIRLS: Final = {
    "en": "Olivia Emma Ava Charlotte Sophia Amelia Isabella Mia Evelyn Harper Camila Abigail Emily Elizabeth "
    "Ella Madison Avery Scarlett Victoria Aria Grace Chloe Penelope Riley Layla Lillian Nora Zoey Mila "
    "Aubrey Hannah Lily Addison Eleanor Natalie Luna Savannah Brooklyn Leah Zoe Stella Hazel Ellie "
    "Paisley Audrey Skylar Violet Claire Bella Aurora Lucy Anna Samantha Caroline Genesis Aaliyah Kennedy "
    "Kinsley Allison Maya Sarah Madelyn Adeline Alexa Ariana Elena Gabriella Naomi Alice Sadie Hailey Eva "
    "Emilia Autumn Quinn Nevaeh Piper Ruby Serenity Willow Everly Cora Kaylee Lydia Aubree Arianna Eliana "
    "Peyton Melanie Gianna Isabelle Julia Valentina Nova Clara Vivian Reagan Mackenzie Madeline Brielle "
    "Delilah Isla Rylee Katherine Sophie Josephine Ivy Liliana Jade Maria Taylor Hadley Kylie Emery "
    "Adalynn Natalia Annabelle Faith Alexandra Ximena Ashley Brianna Bailey Mary Athena Andrea Jasmine "
    "Lila Rachel Kimberly Margaret Teagan Destiny Trinity Jocelyn Ana Sydney Molly Morgan Rebecca Jessica "
    "Megan Deborah Jennifer Christina Susan Patricia Katelyn Imani Amara Keisha Tiana Ebony Diamond Jada "
    "Kiara Alana Paige",
    "es": "Sofía Valentina Camila Isabella Ximena Lucía María Daniela Mariana Valeria Natalia Gabriela Victoria "
    "Andrea Alondra Guadalupe Ana Esmeralda Fernanda Alejandra Jimena Renata Regina Elena Paola Carolina "
    "Adriana Leslie Ariana Melissa Yaretzi Angélica Itzel Karla Julieta Romina Ángela Verónica Beatriz "
    "Araceli Rosa Marisol Lizbeth Paloma Noemí Inés Mónica Estefanía Leticia Dulce Perla Carmen Luz "
    "Teresa Pilar Concepción Yesenia Brisa Nayeli Citlali Abril Emilia Salma Zoé Belén Rocío Consuelo "
    "Graciela Irene",
    "vi": "Anh Linh Thao Vy Ngoc Trang Mai Huong Lan Nhi Phuong Thu Kim Tuyet Hoa My Quynh Hanh Yen Chau Emily "
    "Kelly Tiffany Jenny Vivian Bao Dao Thuy Nga Loan",
    "ar": "Fatima Maryam Aisha Zainab Noor Layla Sara Hana Amina Yasmin Salma Rania Lina Jana Malak Huda "
    "Ruqayya Khadija Safiya Dina Nadia Rahma Iman Samira Mariam Leen Asma Hala Nour Zahra",
    "zh": "Emily Grace Jessica Amy Michelle Angela Sophia Joy Mei Xin Yi Ling Jia Yan Hui Lan Wen Ying Yu Qi "
    "Chloe Vivian Serena Iris Fiona Xinyi Jiayi Yuxin Zihan Ruoxi",
    "so": "Fadumo Hodan Amina Sahra Halima Khadra Ifrah Nimo Asha Hibo Ayan Maryan Ubah Deqa Fartun Sumaya Idil "
    "Zamzam Nasra Hamdi Ilhan Muna Rahma Saido Yasmin",
}
_BOYS: Final = {
    "en": "Liam Noah William James Logan Benjamin Mason Elijah Oliver Jacob Lucas Michael Alexander Ethan "
    "Daniel Matthew Aiden Henry Joseph Jackson Samuel Sebastian David Carter Wyatt Jayden John Owen Dylan "
    "Luke Gabriel Anthony Isaac Grayson Jack Julian Levi Christopher Joshua Andrew Lincoln Mateo Ryan "
    "Jaxon Nathan Aaron Isaiah Thomas Charles Caleb Josiah Christian Hunter Eli Jonathan Connor Landon "
    "Adrian Asher Cameron Leo Theodore Jeremiah Hudson Robert Easton Nolan Nicholas Ezra Colton Angel "
    "Brayden Jordan Dominic Austin Ian Adam Elias Jaxson Greyson Jose Ezekiel Carson Evan Maverick Bryson "
    "Jace Cooper Xavier Parker Roman Jason Santiago Chase Sawyer Gavin Leonardo Kayden Ayden Jameson "
    "Kevin Bentley Zachary Everett Axel Tyler Micah Vincent Weston Miles Wesley Nathaniel Harrison "
    "Brandon Cole Declan Luis Braxton Damian Silas Tristan Ryder Bennett George Emmett Justin Kai Max "
    "Diego Luca Ryker Carlos Maxwell Kingston Ivan Maddox Juan Ashton Jayce Rowan Kaiden Giovanni Eric "
    "Jesus Calvin Abel King Camden Amir Blake Alex Brody Malachi Emmanuel Jonah Beau Jude Antonio Alan "
    "Elliott Patrick Richard Edward Timothy Marcus Darius Malik Jamal Terrell DeShawn Tyrone Andre Kareem "
    "Omari Xzavier Steven Kenneth Gregory Peter Stephen",
    "es": "José Juan Luis Carlos Jesús Ángel Miguel Diego Santiago Mateo Alejandro Daniel Leonardo Emiliano "
    "Sebastián Gael Adrián Antonio Iván Fernando Eduardo Jorge Ricardo Andrés Francisco Rafael Óscar "
    "Javier Emilio Joaquín Manuel Pedro Roberto Sergio César Raúl Martín Pablo Marco Héctor Arturo Julio "
    "Alberto Enrique Ramón Gerardo Saúl Salvador Guillermo Rubén Alfredo Armando Gustavo Hugo Ernesto "
    "Ismael Nicolás Tomás Esteban Felipe Rodrigo Abraham Israel Moisés Cristian Brayan Kevin Ulises "
    "Efraín",
    "vi": "Minh Khang Huy Bao Long Nam Khoa Dat Phuc Duc Tuan Hung Kevin Andy Brandon Vincent Danny Quang Thinh "
    "Hieu Tri Tam Son An Binh Hai Vinh Dung Peter Johnny",
    "ar": "Mohamed Ahmed Ali Omar Yusuf Ibrahim Hassan Abdullah Khalid Hamza Mustafa Adam Zaid Bilal Amir Karim "
    "Tariq Samir Mahmoud Yahya Anas Ismail Rami Jamal Faisal Abdulrahman Hussein Salman Idris Zakariya",
    "zh": "Kevin Jason Eric Andrew Ryan Alan Leo Ethan Wei Jun Hao Ming Yi Feng Jie Tao Lei Bo Chen Kai Haoran "
    "Zihao Yichen Junjie Ruiqi",
    "so": "Abdi Mohamed Ahmed Hassan Ali Omar Yusuf Abdullahi Ibrahim Ismail Liban Guled Mahad Sakariye "
    "Abdirahman Hamza Bilal Warsame Khalid Zakaria Ayub Mustafe Idris Salman Jama",
}
_SURNAMES: Final = {
    "en": "Smith Johnson Williams Brown Jones Miller Davis Wilson Anderson Thomas Taylor Moore Jackson Martin "
    "Lee Thompson White Harris Clark Lewis Robinson Walker Young Allen King Wright Scott Hill Green Adams "
    "Nelson Baker Hall Campbell Mitchell Carter Roberts Phillips Evans Turner Parker Collins Edwards "
    "Stewart Morris Murphy Cook Rogers Morgan Cooper Peterson Reed Bailey Bell Kelly Howard Ward Cox "
    "Richardson Wood Watson Brooks Bennett Gray James Hughes Price Myers Long Foster Sanders Ross Powell "
    "Sullivan Russell Jenkins Perry Butler Barnes Fisher Henderson Coleman Simmons Patterson Jordan "
    "Reynolds Hamilton Graham Kim Cole West Wallace Bryant Ellis Gibson Hayes Marshall Hunt Owens Woods "
    "Kennedy Ford Stevens Hicks Webb Washington Tucker Freeman Burns Crawford Henry Simpson Porter Hunter "
    "Gordon Mason Shaw Holmes Dixon Robertson Black Daniels Palmer Mills Nichols Grant Knight Ferguson "
    "Stone Hawkins Dunn Perkins Hudson Spencer Gardner Stephens Payne Pierce Berry Matthews Arnold Wagner "
    "Willis Ray Watkins Olson Carroll Duncan Snyder Hart Cunningham Bradley Lane Andrews Harper Fox Riley "
    "Armstrong Carpenter Weaver Greene Lawrence Elliott Sims Austin Peters Kelley Franklin Lawson Fields "
    "Ryan Schmidt Carr Wheeler Chapman Oliver Montgomery Richards Williamson Johnston Banks Meyer Bishop "
    "McCoy Howell Morrison Hansen Harvey Little Burton Barrett O'Brien Stanley George Jacobs Dean Gilbert "
    "Fuller Lynch Garrett Welch Larson Frazier Burke Hanson Day Mendes Moreland Bowman Jefferson O'Neal "
    "Fowler Brewer Hoffman Carlson Silva Pearson Holland Douglas Fleming Jensen Vaughn Byrd Davidson "
    "Hopkins May Terry Herrin Wade Soto Walters Curtis Neal Caldwell Lowe Jennings Barnett Graves Patel "
    "Singh Rhodes Shelton Hale Cummings Parks Sutton Doyle Watts Todd Steele Schultz Barker Norris "
    "Leonard Blake Fitzgerald",
    "es": "García Rodríguez Martínez Hernández López González Pérez Sánchez Ramírez Torres Flores Rivera Gómez "
    "Díaz Cruz Reyes Morales Ortiz Gutiérrez Chávez Ramos Ruiz Álvarez Mendoza Vásquez Castillo Jiménez "
    "Moreno Romero Herrera Medina Aguilar Garza Castro Vargas Fernández Guzmán Muñoz Méndez Salazar Soto "
    "Vega Guerrero Delgado Peña Ríos Alvarado Sandoval Contreras Valdez Guerra Ortega Santiago Estrada "
    "Figueroa Maldonado Espinoza Padilla Núñez Cortez Acosta Santos Lara Molina Ayala Cabrera Rosales "
    "Navarro Campos Cervantes Salinas Trujillo Velásquez Juárez Miranda Ochoa Robles Serrano Fuentes "
    "Montoya Cárdenas Solís Orozco Macías Zamora Rangel Leal Ibarra Rosas Luna Mejía Villa Cantú Treviño "
    "Barrera De la Cruz De León Del Río Calderón Tapia Bautista Lozano Villarreal Escobar Zúñiga",
    "vi": "Nguyen Tran Le Pham Hoang Huynh Phan Vu Vo Dang Bui Do Ho Ngo Duong Ly Dinh Truong Lam Mai Luong "
    "Trinh Cao Doan",
    "ar": "Ahmed Mohamed Ali Hassan Ibrahim Khalil Mahmoud Saleh Hussein Abdullah Mansour Haddad Khoury Nasser "
    "Said Al-Masri Al-Hassan Abbas Aziz Farah Hamdan Hamid Ismail Jaber Kassem Najjar Othman Qasim Rahman "
    "Salem Shaheen Sharif Suleiman Tahir Youssef Zaman El-Sayed",
    "zh": "Chen Wang Li Zhang Liu Huang Lin Wu Yang Zhao Xu Sun Zhou Lee Chan Wong Ma Zhu Hu Guo He Gao Liang "
    "Cheung Lu Tang Deng Xie Han Feng Cai Ho Cheng Leung",
    "so": "Mohamed Ali Ahmed Hassan Abdi Omar Yusuf Ibrahim Osman Farah Warsame Hussein Abdullahi Jama Adan Nur "
    "Ismail Mohamud Aden Sheikh Duale Isse Gedi Hersi Elmi Roble Samatar",
}
_TAILS: Final = {  # syllables of made-up names: beginnings, middles, ends
    "girls": (
        "A Ad Al Am An Ar Bri Ca Char Da De El Em Ja Jay Jo Ka Kay Key La Lau Li Ma Mad Mi Na Ra Ro Sa "
        "Sha Ta Ti Tri Za Zo",
        "da ka la li ly ma mi na ni ra ri ro sh ve vi y",
        "bel cia da la lee leigh lia lyn lynn lynne na nae nia niyah ra rah ria sa sha ssa tte yah",
    ),
    "boys": (
        "A Ab Ad Al An Ar Bran Bray Cam Car Da Dar De Den Em Gar Ja Jay Jo Ka Kay Ke Key La Lan Le Ma Mar "
        "Na Ra Ro Ter Tra Ty Xa Za",
        "br d da k l la m ma n ni q r ra sh v vi",
        "an ari den ell en ian ias iel in iah ius on or ontae orn us ven wyn yn yon",
    ),
    "en": (
        "Ab Ack Ald Arm Ash Bar Beck Ber Black Blan Bran Brad Brock Buck Bur Cal Car Chad Clay Cran Dal "
        "Den Dun East El Fair Far Fen Gar Gil Hal Ham Har Hath Hol Hunt Kirk Lang Led Lin Mar Mid Mil New "
        "Nor Oak Pen Pick Pres Rad Red Rock Ross Shel Stan Sut Thorn Tren Wal War Wes Whit Win Wood Yar",
        "a be ce der e en er i in ing le ler man men ner o ring s ter y",
        "bach beck berg bert born bourne bury by croft dale don er feld field ford gate ham hart hill "
        "house hurst ing kin land ley low man mann mark mer more ner ney quist ridge rod sen shaw shire "
        "ski smith son stad stein stone strom ton vale ville wald ward way well wick witz wood worth",
    ),
    "es": (
        "Ab Ac Al Am An Ar Bal Bar Ben Bur Cal Can Car Cas Cor Dom El Es Fer Gal Gar Gon Gran Her Ji La "
        "Li Lo Ma Mal Man Mar Mo Mon Na O Or Pa Pal Pe Quin Ro Sal San Se So Te Tor U Val Ve Vi Zal Zar",
        "a ba be ca ce da de e go gu i la le li ma me na ne o qui ra re ri ro ta te ti va vi",
        "da do ga ja jo la les lla llo lo na no ño ra res ría ro rro ta te to va za zo",
    ),
}


@dataclass(frozen=True)
class Pool:
    """Names by rank and, beside each, the share of persons whose name is that one or a more frequent one."""

    names: pl.Series
    shares: NDArray[np.float64]

    def draw(self, rng: np.random.Generator, size: int) -> pl.Series:
        """Draw ``size`` names, each as often as its share says."""
        return self.names.gather(np.searchsorted(self.shares, rng.random(size), side="right"))


def _words(text: str) -> list[str]:
    """Split a list at blanks; a particle stays with its name (``De la Cruz``)."""
    for particle in ("De la", "De", "Del"):
        text = text.replace(f" {particle} ", f" {particle.replace(' ', '_')}_")
    return [word.replace("_", " ") for word in text.split()]


def _pool(common: list[str], tail: str, flat: float, steep: float) -> Pool:
    """Return the common names and behind them the made-up ones, in an order that is always the same."""
    made = ["".join(parts) for parts in product(*(_TAILS[tail][n].split() for n in range(3)))] if tail else []
    made = [made[int(at)] for at in np.random.default_rng(0).permutation(len(made))]
    names = list(dict.fromkeys(common + made))
    weights = 1.0 / (np.arange(1, len(names) + 1) + flat) ** steep
    shares = np.cumsum(weights) / weights.sum()
    shares[-1] = 1.0
    return Pool(pl.Series("name", names, dtype=pl.String), shares)


@cache
def girls(language: str) -> Pool:
    """Return first names of girls; families of every language give made-up names too, if more rarely."""
    return _pool(_words(_GIRLS[language]), "girls", 6, 1.3)


@cache
def boys(language: str) -> Pool:
    """Return first names of boys."""
    return _pool(_words(_BOYS[language]), "boys", 6, 1.3)


@cache
def surnames(language: str) -> Pool:
    """Return family names; where few names hold nearly all families (Vietnamese, Chinese), there is no tail."""
    tail = language if language in _TAILS else ""
    return _pool(_words(_SURNAMES[language]), tail, 2, 0.97)
