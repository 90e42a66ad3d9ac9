# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A made-up population: households, twins and namesakes of many tongues.

Nobody in it is real: family and given names are drawn from lists of common
ones, the more often the nearer to the start.
"""
import datetime as dt
import random
import string
from collections import defaultdict
from dataclasses import dataclass, replace

from trytond.modules.health_orthanc.core.dicom.values import NameGroup
from trytond.modules.health_orthanc.core.matching.attributes import (
    PatientAttributes)

TODAY = dt.date(2026, 6, 1)


@dataclass(frozen=True)
class PeopleRates:
    """How often what happens among the registered"""
    second_given: float = 0.35
    twins: float = 0.03  # of children that have a sibling
    father_names_son: float = 0.08
    married_name: float = 0.5  # where wives take the name of the husband
    maiden_recorded: float = 0.6
    nickname_recorded: float = 0.03
    latin_recorded: float = 0.3  # beside a name in another script
    latin_only: float = 0.4  # of people whose language has another script
    namesake_same_birth_date: float = 0.001
    numeric_puid: float = 0.1  # from a sequence: any typo is somebody else's
    no_birth_date: float = 0.015
    estimated_birth_date: float = 0.02
    no_biological_sex: float = 0.01


@dataclass(frozen=True)
class Culture:
    """How people are called somewhere

    Each name is a tuple of its spellings: the own one, then the romanized or
    simplified ones.
    """
    weight: int
    families: list[tuple[str, ...]]
    men: list[tuple[str, ...]]
    women: list[tuple[str, ...]]
    second_surname: bool = False
    wives_change: bool = True
    script: bool = False


def _names(text: str) -> list[tuple[str, ...]]:
    return [
        tuple(part.replace('_', ' ') for part in word.split('|'))
        for word in text.split()]


CULTURES = {
    'es': Culture(26, _names("""
García González Rodríguez Fernández López Martínez Sánchez Pérez Gómez Martín
Jiménez Ruiz Hernández Díaz Moreno Muñoz|Munoz Álvarez Romero Alonso Gutiérrez
Navarro Torres Domínguez Vázquez|Vasquez Ramos Gil Ramírez Serrano Blanco
Molina Morales Suárez Ortega Delgado Castro Ortiz Rubio Marín Sanz Núñez|Nunez
Iglesias Medina Garrido Cortés Castillo Santos Lozano Guerrero Cano Prieto
Méndez Cruz Calvo Gallego Vidal León Márquez Herrera Peña|Pena Flores Cabrera
Campos Vega Fuentes Carrasco Díez Reyes Caballero Nieto Aguilar Pascual Santana
Herrero Lorenzo Montero Hidalgo Giménez Ibáñez Ferrer Durán Santiago Benítez
Vargas Mora Arias Carmona Crespo Román Pastor Soto Sáez Velasco Moya Soler
de_la_Cruz de_la_Fuente del_Río Quispe Mamani Condori Huamán Chávez
"""), _names("""
Antonio José Manuel Francisco Juan David Javier Daniel Carlos Jesús Alejandro
Miguel Rafael Pedro Ángel Pablo Sergio Fernando Luis Jorge Alberto Álvaro Diego
Adrián Raúl Enrique Iván Ramón Vicente Andrés Joaquín Óscar Víctor Rubén Martín
Santiago Eduardo Mario Roberto Ignacio Salvador Ricardo Emilio Julio Julián
Tomás Agustín Gabriel Hugo Marcos Félix Nicolás Gonzalo Samuel Cristian Felipe
"""), _names("""
María Carmen Ana Isabel Laura Cristina Marta Josefa Dolores Lucía Antonia
Francisca Sara Paula Elena Pilar Raquel Concepción Manuela Mercedes Julia
Beatriz Nuria Silvia Irene Rosario Patricia Teresa Andrea Montserrat Alba Juana
Rocío Encarnación Mónica Rosa Alicia Ángela Sonia Marina Sandra Susana Natalia
Yolanda Margarita Claudia Inmaculada Eva Sofía Carla Inés Daniela Luisa Martina
"""), second_surname=True, wives_change=False),
    'pt': Culture(8, _names("""
Silva Santos Ferreira Pereira Oliveira Costa Rodrigues Martins Jesus Sousa
Fernandes Gonçalves|Goncalves Gomes Lopes Marques Alves Almeida Ribeiro Pinto
Carvalho Teixeira Moreira Correia Mendes Nunes Soares Vieira Monteiro Cardoso
Rocha Neves Coelho Cruz Cunha Pires Ramos Reis Simões Antunes Matos Fonseca
da_Silva dos_Santos de_Souza Araújo Barbosa Lima Cavalcanti Assunção
"""), _names("""
João José António Manuel Francisco Carlos Luís Pedro Paulo Rui Miguel Tiago
Nuno Jorge Bruno Fernando Joaquim Ricardo Hugo Vítor Diogo Sérgio André Mário
Rafael Gonçalo Daniel Filipe Marco Hélder Márcio Sebastião Caíque Thiago
"""), _names("""
Maria Ana Marta Catarina Sofia Inês Joana Isabel Sandra Carla Paula Teresa
Rita Cristina Patrícia Susana Mariana Cláudia Helena Beatriz Fernanda Sónia
Rosa Margarida Luísa Sílvia Mónica Conceição Lúcia Júlia Letícia Thaís Antônia
"""), second_surname=True),
    'de': Culture(9, _names("""
Müller|Mueller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz
Hoffmann Schäfer|Schaefer Koch Bauer Richter Klein Wolf Schröder|Schroeder
Neumann Schwarz Zimmermann Braun Krüger|Krueger Hofmann Hartmann Lange Schmitt
Werner Krause Meier Lehmann Schmid Schulze Maier Köhler|Koehler Herrmann
König|Koenig Walter Mayer Huber Kaiser Fuchs Peters Lang Scholz Möller|Moeller
Weiß|Weiss Jung Hahn Schubert Vogel Friedrich Keller Günther|Guenther Frank
Berger Winkler Roth Beck Lorenz Baumann Franke Albrecht Schuster Simon Ludwig
Böhm|Boehm Winter Kraus Martin Schumacher Krämer|Kraemer Vogt Stein
Jäger|Jaeger Otto Sommer Groß|Gross Seidel Heinrich Brandt Haas Schreiber
von_der_Heide von_Berg Müller-Lüdenscheid|Mueller-Luedenscheid
"""), _names("""
Peter Michael Thomas Andreas Wolfgang Klaus Jürgen|Juergen Günter|Guenter
Stefan Christian Uwe Werner Horst Frank Dieter Manfred Gerhard Hans Bernd
Thorsten Mathias Helmut Walter Heinz Martin Jörg|Joerg Rolf Jens Sven Alexander
Jan Rainer Holger Karl Dirk Joachim Ralf Carsten Herbert Oliver Wilhelm Kurt
Markus Heinrich Paul Lukas Leon Maximilian Björn|Bjoern Sören|Soeren
"""), _names("""
Ursula Karin Helga Sabine Ingrid Renate Monika Susanne Gisela Petra Birgit
Andrea Anna Brigitte Claudia Erika Christa Elke Stefanie Gertrud Elisabeth
Maria Angelika Heike Gabriele Kathrin Ilse Nicole Anja Barbara Hildegard
Martina Ruth Jutta Christine Ute Silke Käthe|Kaethe Bärbel|Baerbel Julia Lena
Marie Leonie Sophie Hannelore Zoë Heidemarie Lieselotte Ulrike Dörte|Doerte
""")),
    'fr': Culture(8, _names("""
Martin Bernard Thomas Petit Robert Richard Durand Dubois Moreau Laurent Simon
Michel Lefèvre Leroy Roux David Bertrand Morel Fournier Girard Bonnet Dupont
Lambert Fontaine Rousseau Vincent Muller Lefebvre Faure André Mercier Blanc
Guérin Boyer Garnier Chevalier François Legrand Gauthier Garcia Perrin Robin
Clément Morin Nicolas Henry Roussel Mathieu Gautier Masson Marchand Duval
Denis Dumont Marie Lemaire Noël Meyer Dufour Meunier Brun Blanchard Giraud
Joly Rivière Lucas Brunet Gaillard Barbier Arnaud Martinez Gérard Roche
Traoré Diallo Ouédraogo Coulibaly N'Diaye|Ndiaye Diop Sow Koné|Kone
"""), _names("""
Jean Pierre Michel André Philippe Alain Bernard Jacques Daniel Gérard René
Robert Claude Christian Nicolas Laurent François Éric Patrick Stéphane Olivier
Marcel Frédéric Sébastien Julien Christophe Pascal Georges Thierry David Louis
Jean-Pierre Jean-Luc Jérôme Mamadou Ousmane Abdoulaye Benoît Rémi Loïc Gaël
"""), _names("""
Marie Jeanne Françoise Monique Catherine Nathalie Isabelle Jacqueline Anne
Sylvie Martine Madeleine Nicole Suzanne Hélène Christine Marguerite Denise
Christiane Louise Valérie Brigitte Sophie Sandrine Stéphanie Véronique Céline
Chantal Annie Aurélie Marie-Claire Anne-Laure Zoé Aïssatou Fatoumata Aminata
""")),
    'en': Culture(9, _names("""
Smith Jones Taylor Brown Williams Wilson Johnson Davies Robinson Wright
Thompson Evans Walker White Roberts Green Hall Wood Jackson Clarke Patel Khan
Lewis James Phillips Mason Mitchell Rose Davis Rodgers Cox Alexander Murphy
O'Brien|OBrien O'Neill|ONeill MacDonald|Mac_Donald McCarthy|Mc_Carthy
Smith-Jones
Byrne Walsh Kelly Ryan Doyle Okafor Mensah Owusu Adeyemi Ogunleye Baker Turner
Hill Scott Cooper Morris Ward Moore King Watson Morgan Harris Harrison Bailey
"""), _names("""
John David Michael James Robert Paul Peter Andrew Mark William Richard Thomas
Stephen Christopher Alan Ian Kevin Brian Simon Anthony Daniel George Martin
Matthew Colin Steven Neil Graham Philip Kenneth Joseph Stuart Patrick Kwame
Oliver Harry Jack Charlie Oscar Seán|Sean Chukwuemeka Edward Jonathan
"""), _names("""
Margaret Susan Mary Patricia Christine Elizabeth Jean Julie Linda Sarah Karen
Helen Jacqueline Barbara Ann Janet Carol Dorothy Jennifer Nicola Sandra Claire
Emma Joan Sharon Deborah Alison Sheila Rachel Kathleen Catherine Amy Olivia
Ngozi Abena Sophie Charlotte Zoe Siobhán|Siobhan Mary-Ann Joanna Amelia
""")),
    'nl': Culture(3, _names("""
de_Jong Jansen de_Vries van_den_Berg van_Dijk Bakker Janssen Visser Smit Meijer
de_Boer Mulder de_Groot Bos Vos Peters Hendriks van_Leeuwen Dekker Brouwer
de_Wit Dijkstra Smits de_Graaf van_der_Meer van_der_Linden Kok Jacobs
de_Haan Vermeulen van_den_Heuvel van_der_Veen van_den_Broek de_Bruijn
"""), _names("""
Jan Johannes Cornelis Hendrik Willem Pieter Gerrit Jacobus Petrus Martinus
Thomas Daan Sem Lucas Bram Jeroen Maarten Sander Joost Ruud
"""), _names("""
Maria Johanna Anna Cornelia Elisabeth Wilhelmina Catharina Hendrika Petronella
Sanne Lotte Femke Anouk Iris Marijke Ingrid Mariëlle Renée Noor Fleur
""")),
    'nordic': Culture(3, _names("""
Hansen Johansen Olsen Larsen Andersen Nielsen Jensen Pedersen
Sørensen|Soerensen
Rasmussen Jørgensen|Jorgensen Møller|Moeller Andersson Johansson Karlsson
Nilsson Eriksson Persson Åkesson|Aakesson Öberg|Oberg Lindström|Lindstrom
Virtanen Korhonen Mäkinen|Makinen Nieminen Hämäläinen|Hamalainen
Ødegård|Odegard
"""), _names("""
Lars Per Jan Bjørn|Bjorn Jens Søren|Soeren Erik Anders Karl Nils Åge|Aage Jukka
Mikko Håkan|Hakan Göran|Goran Jørgen|Jorgen Ole Kjell Mats Antti
"""), _names("""
Anna Eva Maria Karin Kerstin Inger Åse|Aase Kirsten Hanne Mette Sørine|Sorine
Bodil Märta|Marta Päivi|Paivi Helmi Liisa Ingrid Astrid Solveig Bjørg|Bjorg
""")),
    'pl': Culture(3, _names("""
Nowak Kowalski Wiśniewski Wójcik Kowalczyk Kamiński Lewandowski Zieliński
Szymański Woźniak Dąbrowski Kozłowski Jankowski Mazur Wojciechowski Kwiatkowski
Krawczyk Kaczmarek Piotrowski Grabowski Zając Pawłowski Michalski Król Wróbel
"""), _names("""
Piotr Krzysztof Andrzej Tomasz Paweł Jan Michał Marcin Stanisław Jakub Adam
Łukasz Marek Grzegorz Mateusz Wojciech Mariusz Dariusz Zbigniew Jerzy
"""), _names("""
Anna Maria Katarzyna Małgorzata Agnieszka Barbara Ewa Krystyna Elżbieta Teresa
Zofia Joanna Magdalena Monika Danuta Jadwiga Grażyna Żaneta Bożena Łucja
""")),
    'tr': Culture(4, _names("""
Yılmaz Kaya Demir Şahin Çelik Yıldız Yıldırım Öztürk Aydın Özdemir Arslan Doğan
Kılıç Aslan Çetin Kara Koç Kurt Özkan Şimşek Polat Korkmaz Çakır Erdoğan Güneş
"""), _names("""
Mehmet Mustafa Ahmet Ali Hüseyin Hasan İbrahim İsmail Osman Yusuf Murat Ömer
Ramazan Halil Süleyman Abdullah Mahmut Recep Salih Fatih Kadir Emre Gökhan
"""), _names("""
Fatma Ayşe Emine Hatice Zeynep Elif Meryem Şerife Zehra Sultan Hanife Merve
Havva Özlem Yasemin Hülya Gülşen Çiğdem Esra Büşra Tuğba Songül Filiz
""")),
    'ar': Culture(9, _names("""
محمد|Mohamed|Muhammad|Mohammed علي|Ali|Aly أحمد|Ahmed|Ahmad حسن|Hassan|Hasan
حسين|Hussein|Hussain|Husayn إبراهيم|Ibrahim|Ebrahim عبد_الله|Abdullah|Abdallah
الحداد|Al-Haddad|El_Haddad الأحمد|Al-Ahmad|Alahmad المصري|Al-Masri|El_Masry
خليل|Khalil|Khaleel سليمان|Suleiman|Soliman عثمان|Othman|Osman
الخطيب|Al-Khatib|El_Khatib منصور|Mansour|Mansur صالح|Saleh|Salih
يوسف|Youssef|Yusuf|Yousef عمر|Omar|Umar الشامي|Al-Shami|El_Shamy
ناصر|Nasser|Naser
بن_علي|Ben_Ali|Benali بنعيسى|Benaissa حمدي|Hamdi قاسم|Qasim|Kassem عزيز|Aziz
"""), _names("""
محمد|Mohamed|Muhammad|Mohammed أحمد|Ahmed|Ahmad علي|Ali|Aly عمر|Omar|Umar
خالد|Khaled|Khalid حسن|Hassan|Hasan يوسف|Youssef|Yusuf|Yousef كريم|Karim|Kareem
مصطفى|Mustafa|Moustafa طارق|Tarek|Tariq عبد_الرحمن|Abdul_Rahman|Abdelrahman
سعيد|Said|Saeed محمود|Mahmoud|Mahmud إبراهيم|Ibrahim|Ebrahim جمال|Jamal|Gamal
هشام|Hisham|Hicham رشيد|Rashid|Rachid سمير|Samir|Sameer
"""), _names("""
فاطمة|Fatima|Fatma|Fatimah عائشة|Aisha|Aicha|Aysha مريم|Maryam|Mariam
خديجة|Khadija
زينب|Zainab|Zeinab سارة|Sara|Sarah نور|Nour|Noor ليلى|Layla|Leila
هدى|Huda|Houda
أمينة|Amina|Ameena سلمى|Salma رانيا|Rania نادية|Nadia|Nadya
سميرة|Samira|Sameera
ياسمين|Yasmin|Yasmine إيمان|Iman|Eman حنان|Hanan منى|Mona|Muna
"""), wives_change=False, script=True),
    'ru': Culture(7, _names("""
Иванов|Ivanov|Iwanow Смирнов|Smirnov Кузнецов|Kuznetsov|Kusnezow Попов|Popov
Васильев|Vasiliev|Vasilyev Петров|Petrov|Petrow Соколов|Sokolov
Михайлов|Mikhailov|Mihajlov Новиков|Novikov Фёдоров|Fedorov|Fyodorov
Морозов|Morozov Волков|Volkov|Wolkow Алексеев|Alekseev|Alexeyev Лебедев|Lebedev
Семёнов|Semenov|Semyonov Егоров|Egorov|Yegorov Павлов|Pavlov Козлов|Kozlov
Степанов|Stepanov Николаев|Nikolaev|Nikolayev Орлов|Orlov Андреев|Andreev
Макаров|Makarov Никитин|Nikitin Захаров|Zakharov|Saharov Зайцев|Zaitsev|Zaytsev
Шевченко|Shevchenko|Schewtschenko Коваленко|Kovalenko Бондаренко|Bondarenko
Ткаченко|Tkachenko Кравченко|Kravchenko Щербаков|Shcherbakov|Scherbakov
"""), _names("""
Александр|Alexander|Aleksandr Сергей|Sergey|Sergei Владимир|Vladimir|Wladimir
Андрей|Andrey|Andrei Алексей|Alexey|Aleksei Дмитрий|Dmitry|Dmitri|Dmitriy
Николай|Nikolay|Nikolai Иван|Ivan|Iwan Михаил|Mikhail|Michail
Евгений|Evgeny|Yevgeni Виктор|Viktor|Victor Юрий|Yuri|Yury|Jurij Олег|Oleg
Анатолий|Anatoly|Anatolij Павел|Pavel Максим|Maxim|Maksim Игорь|Igor
"""), _names("""
Елена|Elena|Yelena Ольга|Olga Татьяна|Tatiana|Tatyana Наталья|Natalia|Natalya
Ирина|Irina Светлана|Svetlana Анна|Anna Мария|Maria|Mariya
Людмила|Lyudmila|Ludmila
Галина|Galina Нина|Nina Екатерина|Ekaterina|Yekaterina Валентина|Valentina
Юлия|Julia|Yulia Оксана|Oksana Надежда|Nadezhda|Nadeschda Любовь|Lyubov
"""), script=True),
    'el': Culture(3, _names("""
Παπαδόπουλος|Papadopoulos Αγγελόπουλος|Angelopoulos|Aggelopoulos
Οικονόμου|Oikonomou|Economou Γεωργίου|Georgiou Δημητρίου|Dimitriou
Νικολάου|Nikolaou Ιωάννου|Ioannou Βασιλείου|Vasileiou|Vassiliou
Χριστοδούλου|Christodoulou|Hristodoulou Μακρής|Makris Αντωνίου|Antoniou
"""), _names("""
Γεώργιος|Georgios|George Ιωάννης|Ioannis|Giannis
Κωνσταντίνος|Konstantinos|Constantinos
Δημήτριος|Dimitrios|Demetrios Νικόλαος|Nikolaos|Nicolaos Παναγιώτης|Panagiotis
Βασίλειος|Vasileios|Vassilios Χρήστος|Christos|Hristos
"""), _names("""
Μαρία|Maria Ελένη|Eleni|Helen Αικατερίνη|Aikaterini|Ekaterini Βασιλική|Vasiliki
Σοφία|Sofia|Sophia Αναστασία|Anastasia Ευαγγελία|Evangelia|Evaggelia Άννα|Anna
"""), script=True),
    'vi': Culture(3, _names("""
Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý
"""), _names("""
Văn_Hùng Văn_Minh Đức_Anh Quang_Huy Minh_Tuấn Hữu_Phước Thanh_Tùng Quốc_Bảo
Văn_Dũng Ngọc_Sơn Xuân_Trường Gia_Huy Văn_Nam Đình_Long Công_Thành
"""), _names("""
Thị_Hoa Thị_Lan Thị_Hương Thanh_Thảo Ngọc_Ánh Thị_Mai Bích_Ngọc Thu_Hà
Thị_Hồng Kim_Ngân Phương_Linh Thị_Thủy Mỹ_Duyên Thị_Nga Thùy_Trang
"""), wives_change=False),
    'zh': Culture(4, _names("""
王|Wang 李|Li|Lee 张|Zhang|Chang 刘|Liu|Lau 陈|Chen|Chan 杨|Yang 黄|Huang|Wong
赵|Zhao 吴|Wu 周|Zhou|Chou 徐|Xu|Hsu 孙|Sun 马|Ma 朱|Zhu 胡|Hu 郭|Guo 何|He|Ho
"""), _names("""
伟|Wei 强|Qiang 磊|Lei 军|Jun 勇|Yong 杰|Jie 涛|Tao 明|Ming 建国|Jianguo|Jian_Guo
志强|Zhiqiang|Zhi_Qiang 文杰|Wenjie|Wen_Jie 小明|Xiaoming|Xiao_Ming 浩然|Haoran
"""), _names("""
芳|Fang 娜|Na 敏|Min 静|Jing 丽|Li 艳|Yan 娟|Juan 秀英|Xiuying|Xiu_Ying
桂英|Guiying|Gui_Ying 玉兰|Yulan|Yu_Lan 晓红|Xiaohong|Xiao_Hong 婷婷|Tingting
"""), wives_change=False, script=True),
    'ja': Culture(3, _names("""
佐藤|Sato|Satou 鈴木|Suzuki 高橋|Takahashi 田中|Tanaka 伊藤|Ito|Itoh 渡辺|Watanabe
山本|Yamamoto 中村|Nakamura 小林|Kobayashi 加藤|Kato|Katoh 吉田|Yoshida 山田|Yamada
"""), _names("""
太郎|Taro|Tarou 健一|Kenichi|Ken'ichi 翔太|Shota|Shouta 大輔|Daisuke 誠|Makoto
浩|Hiroshi 隆|Takashi 健太|Kenta 直樹|Naoki 和也|Kazuya
"""), _names("""
花子|Hanako 美咲|Misaki 陽子|Yoko|Youko 恵子|Keiko 由美子|Yumiko 愛|Ai 幸子|Sachiko
さくら|Sakura 直美|Naomi 久美子|Kumiko
"""), script=True),
    'ko': Culture(2, _names("""
김|Kim|Gim 이|Lee|Yi 박|Park|Pak 최|Choi|Choe 정|Jung|Jeong 강|Kang|Gang 조|Cho|Jo
윤|Yoon|Yun 장|Jang|Chang 임|Lim|Im 한|Han 오|Oh
"""), _names("""
민준|Minjun|Min-jun 지훈|Jihoon|Ji-hun 현우|Hyunwoo|Hyun-woo 성민|Sungmin|Seong-min
영호|Youngho|Yeong-ho 준호|Junho|Jun-ho 동현|Donghyun|Dong-hyeon
"""), _names("""
서연|Seoyeon|Seo-yeon 지민|Jimin|Ji-min 수진|Sujin|Soo-jin 은영|Eunyoung|Eun-yeong
미경|Mikyung|Mi-gyeong 영희|Younghee|Yeong-hui 하은|Haeun|Ha-eun
"""), wives_change=False, script=True),
    'in': Culture(6, _names("""
Kumar Singh Sharma Patel Devi Khan Gupta Das Reddy Yadav Verma Rao Nair Iyer
Mishra Joshi Chauhan Mehta Shah Pillai Banerjee Chatterjee Mukherjee Agarwal
Bhattacharya Chaudhary|Choudhury|Chowdhury Lakshmi|Laxmi Krishnan Subramanian
"""), _names("""
Rajesh Suresh Ramesh Amit Anil Sanjay Vijay Rahul Sunil Manoj Ravi Ashok Deepak
Vinod Arun Mohan Ajay Krishna Prakash Rakesh Srinivas Venkatesh|Venkatesan
"""), _names("""
Sunita Anita Lakshmi|Laxmi Priya Geeta|Gita Rekha Meena|Mina Kavita|Kavitha
Pooja|Puja Neha Asha Usha Radha Shanti Deepika Anjali Sita|Seetha Savitri
""")),
    }


@dataclass(frozen=True)
class Person:
    """A registered patient and what the registration does not say

    Attributes
    ----------
    facts : PatientAttributes
    culture : Culture
    family, given : tuple of tuple of str
        The words of the name in all their spellings.
    birth_date : date
    sex : {'M', 'F'}
    """
    facts: PatientAttributes
    culture: Culture
    family: tuple[tuple[str, ...], ...]
    given: tuple[tuple[str, ...], ...]
    birth_date: dt.date
    sex: str

    @property
    def key(self) -> int:
        return self.facts.key  # type: ignore[return-value]


class Population:
    """People of the same seed and number are the same people.

    Attributes
    ----------
    people : list of Person
        By their keys.
    households : dict
        The keys of all who live with somebody, by key.
    twins, namesakes : dict
        The key of the twin, and of the other one with the same name and
        birth date, by key.
    """

    def __init__(self, seed: int, count: int, rates: PeopleRates):
        self._random = random.Random(f'people {seed}')
        self._rates = rates
        self._puids: set[str] = set()
        self.people: list[Person] = []
        self.households: dict[int, list[int]] = {}
        self.twins: dict[int, int] = {}
        self.namesakes: dict[int, int] = {}
        while len(self.people) < count:
            self._add_household()
        self.people = self.people[:count]
        for links in [self.twins, self.namesakes]:
            for one, other in list(links.items()):
                if max(one, other) >= count:
                    del links[one]
        self.households = {
            key: [k for k in keys if k < count]
            for key, keys in self.households.items() if key < count}

    def _chance(self, rate: float) -> bool:
        return self._random.random() < rate

    def _pick(self, names: list[tuple[str, ...]]) -> tuple[str, ...]:
        "Draw a name, the more often the nearer it is to the start"
        return names[int(len(names) * self._random.random() ** 1.6)]

    def _add_household(self) -> None:
        culture, = self._random.choices(
            list(CULTURES.values()), [c.weight for c in CULTURES.values()])
        start = len(self.people)
        size = self._random.choice([1, 1, 1, 2, 2, 3, 4, 5])
        father = self._parent(culture, 'M') if size != 1 or self._chance(
            0.5) else None
        mother = self._parent(culture, 'F', father) if (
            not father or size > 1) else None
        if size > 2 and father and mother:
            self._add_children(size - 2, father, mother)
        keys = list(range(start, len(self.people)))
        self.households.update((key, keys) for key in keys)
        for key in keys:
            if self._chance(self._rates.namesake_same_birth_date):
                self._add_namesake(self.people[key])

    def _parent(
            self, culture: Culture, sex: str, husband: Person | None = None
            ) -> Person:
        family = (self._pick(culture.families),)
        if culture.second_surname:
            family += (self._pick(culture.families),)
        maiden = None
        if (husband and culture.wives_change
                and self._chance(self._rates.married_name)):
            maiden, family = family, husband.family
        if husband:
            age = husband.birth_date.year + self._random.randint(-4, 8)
        else:
            age = int(self._random.triangular(1932, 2004, 1968))
        return self._add(
            culture, family, self._given(culture, sex),
            self._day(min(age, 2007)), sex, maiden)

    def _add_children(
            self, count: int, father: Person, mother: Person) -> None:
        culture = father.culture
        family = father.family[:1]
        if culture.second_surname:
            family += mother.family[:1]
        year = max(father.birth_date.year, mother.birth_date.year) + 20
        last = None
        for _ in range(count):
            sex = self._random.choice('MF')
            given = self._given(culture, sex)
            if last and self._chance(self._rates.twins):
                born = last.birth_date
            else:
                year += self._random.randint(1, 4)
                born = self._day(min(year, 2025))
                if sex == 'M' and self._chance(self._rates.father_names_son):
                    given = father.given
            if last and given == last.given:
                continue
            child = self._add(culture, family, given, born, sex)
            if last and last.birth_date == born:
                self.twins[child.key], self.twins[last.key] = (
                    last.key, child.key)
            last = child

    def _add_namesake(self, person: Person) -> None:
        other = self._add(
            person.culture, person.family, person.given, person.birth_date,
            person.sex)
        self.households[other.key] = [other.key]
        self.namesakes[person.key] = other.key
        self.namesakes[other.key] = person.key

    def _given(self, culture: Culture, sex: str) -> tuple:
        names = culture.men if sex == 'M' else culture.women
        given = [self._pick(names)]
        if self._chance(self._rates.second_given) and not culture.script:
            second = self._pick(names)
            if second not in given:
                given.append(second)
        return tuple(given)

    def _day(self, year: int) -> dt.date:
        return dt.date(year, 1, 1) + dt.timedelta(self._random.randrange(365))

    def _add(
            self, culture: Culture, family: tuple, given: tuple,
            born: dt.date, sex: str, maiden: tuple | None = None) -> Person:
        rates = self._rates
        latin = culture.script and self._chance(rates.latin_only)
        names = [_group(family, given, latin)]
        if maiden and self._chance(rates.maiden_recorded):
            names.append(_group(maiden, given, latin))
        if (culture.script and not latin
                and self._chance(rates.latin_recorded)):
            names.append(_group(family, given, True))
        if self._chance(rates.nickname_recorded):
            names.append(NameGroup(given=spelling(given[:1])[:4]))
        facts = PatientAttributes(
            key=len(self.people), puid=self._puid(), names=tuple(names),
            birth_date=born, biological_sex=sex, gender=sex)
        if self._chance(rates.no_birth_date):
            facts = replace(facts, birth_date=None)
        elif self._chance(rates.estimated_birth_date):
            facts = replace(
                facts, birth_date_estimated=True,
                birth_date=born + dt.timedelta(
                    self._random.randint(-500, 500)))
        if self._chance(rates.no_biological_sex):
            facts = replace(facts, biological_sex='')
        person = Person(facts, culture, family, given, born, sex)
        self.people.append(person)
        return person

    def _puid(self) -> str:
        if self._chance(self._rates.numeric_puid):
            return f'{100000 + len(self.people)}'
        while True:
            letters = ''.join(
                self._random.choices(string.ascii_uppercase, k=6))
            puid = (
                f'{letters[:3]}{self._random.randrange(1000):03}{letters[3:]}')
            if puid not in self._puids:
                self._puids.add(puid)
                return puid


def _group(family: tuple, given: tuple, latin: bool) -> NameGroup:
    return NameGroup(
        spelling(family, int(latin)), spelling(given, int(latin)))


def spelling(words: tuple, number: int = 0) -> str:
    """Return the words of a name in one of their spellings.

    The own spelling is number 0; of too few spellings the last is taken.
    """
    return ' '.join(word[min(number, len(word) - 1)] for word in words)


def by_birth_date(people: list[Person]) -> dict[dt.date, list[Person]]:
    found = defaultdict(list)
    for person in people:
        found[person.birth_date].append(person)
    return found
